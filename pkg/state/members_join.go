package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A sign of life lasts lifetime; it is renewed every lifebeat.
const (
	lifetime = 10 * time.Second
	lifebeat = lifetime / 4
)

// ErrNameTaken is wrapped by what Join notes while another balancer of the same
// name lives elsewhere.
var ErrNameTaken = errors.New("another balancer of this name is alive")

// Joining is a balancer about to become a member.
type Joining struct {
	Member Member
	// Namespace is where its record lives; the store's own unless set.
	Namespace string
	// Stores are all it follows, Member.Pools[].Store among them. Several may
	// be servers of one store: the record then holds the pools of each.
	Stores []string
}

// Join makes a balancer known in the store and keeps its sign of life until
// ctx ends; then the sign is taken back and the record stays. Nothing that goes
// wrong ends it: it calls note with the error, or with nil once all is well
// (again), and goes on trying. Every note differs from the one before.
func (s *Store) Join(ctx context.Context, who Joining, note func(error)) error {
	j := &joined{store: s, who: who, note: note, last: "nothing noted yet"}
	tick := time.NewTicker(lifebeat)
	defer tick.Stop()
	for {
		j.tell(ctx, j.beat(ctx))
		select {
		case <-ctx.Done():
			j.leave(ctx)
			return nil
		case <-tick.C:
		}
	}
}

// joined is one balancer's membership in one store.
type joined struct {
	store *Store
	who   Joining
	note  func(error)
	last  string // what was noted last
	began time.Time
	lease clientv3.LeaseID
}

// tell notes what is new.
func (j *joined) tell(ctx context.Context, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if ctx.Err() == nil && text != j.last {
		j.last = text
		j.note(err)
	}
}

func (j *joined) key(kind string) string {
	if j.who.Namespace == "" {
		return j.store.own(kind) + j.who.Member.Name
	}
	return "/" + strings.Trim(j.who.Namespace, "/") + "/sluice/" + kind + "/" + j.who.Member.Name
}

// beat renews the sign of life, and registers anew where it, or the record, is
// gone.
func (j *joined) beat(ctx context.Context) error {
	if j.lease != 0 {
		kept, err := j.keep(ctx)
		if err != nil || kept {
			return err
		}
	}
	return j.register(ctx)
}

// keep renews the lease. False means that something of the registration is
// gone.
func (j *joined) keep(ctx context.Context) (bool, error) {
	one, cancel := j.store.request(ctx)
	defer cancel()
	_, err := j.store.client.KeepAliveOnce(one, j.lease)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return false, nil
	}
	if err == nil {
		var resp *clientv3.TxnResponse
		resp, err = j.store.client.Txn(one).If(
			clientv3.Compare(clientv3.CreateRevision(j.key("balancers")), ">", 0),
			clientv3.Compare(clientv3.CreateRevision(j.key("life")), ">", 0),
		).Commit()
		if err == nil {
			return resp.Succeeded, nil
		}
	}
	return false, fmt.Errorf("keep alive %s: %w", j.who.Member.Name, j.store.explain(ctx, err))
}

// errRaced means that somebody else wrote the record at the same moment.
var errRaced = errors.New("the record changed meanwhile")

// register writes the record, if it differs, and the sign of life, in one
// transaction.
func (j *joined) register(ctx context.Context) error {
	one, cancel := j.store.request(ctx)
	defer cancel()
	err := errRaced
	for try := 0; try < 3 && errors.Is(err, errRaced); try++ {
		err = j.write(one)
	}
	if err != nil && !errors.Is(err, ErrNameTaken) && !errors.Is(err, errRaced) {
		err = j.store.explain(ctx, err)
	}
	if err != nil {
		return fmt.Errorf("register %s: %w", j.who.Member.Name, err)
	}
	return nil
}

// write is one attempt to register.
func (j *joined) write(ctx context.Context) error {
	client, record, sign := j.store.client, j.key("balancers"), j.key("life")
	now, err := client.Txn(ctx).Then(clientv3.OpGet(record), clientv3.OpGet(sign)).Commit()
	if err != nil {
		return err
	}
	stored, recordRev := only(now.Responses[0])
	lives, lifeRev := only(now.Responses[1])
	if lifeRev > 0 && !j.own(lives) {
		return ErrNameTaken
	}
	granted, err := client.Grant(ctx, int64(lifetime/time.Second))
	if err != nil {
		return err
	}
	if j.began.IsZero() {
		j.began = time.Now().UTC().Truncate(time.Second)
	}
	puts := []clientv3.Op{clientv3.OpPut(sign, encode(life{j.who.Member.Status, j.began}), clientv3.WithLease(granted.ID))}
	if next := j.record(stored); next != string(stored) {
		puts = append(puts, clientv3.OpPut(record, next))
	}
	resp, err := client.Txn(ctx).If(
		clientv3.Compare(clientv3.ModRevision(record), "=", recordRev),
		clientv3.Compare(clientv3.ModRevision(sign), "=", lifeRev),
	).Then(puts...).Commit()
	switch {
	case err != nil:
		return err
	case !resp.Succeeded:
		return errRaced
	}
	j.lease = granted.ID
	return nil
}

// only returns the value and revision of the one key asked for; 0 if it is not
// there.
func only(r *etcdserverpb.ResponseOp) (value []byte, revision int64) {
	kvs := r.GetResponseRange().Kvs
	if len(kvs) == 0 {
		return nil, 0
	}
	return kvs[0].Value, kvs[0].ModRevision
}

// own tells whether a sign of life is this balancer's: from before it was
// killed, or by way of another server of the same store. Another balancer
// would have its status elsewhere.
func (j *joined) own(value []byte) bool {
	var l life
	return json.Unmarshal(value, &l) != nil || slices.Equal(l.Status, j.who.Member.Status)
}

// record returns the record as it should be, which is the stored one to the
// byte where that says the same.
func (j *joined) record(stored []byte) string {
	m := j.who.Member
	was, err := parseMember(m.Name, stored)
	if err != nil {
		m.Since = time.Now().UTC().Truncate(time.Second)
		return encode(m)
	}
	m.Since = was.Since
	// What came by way of another server of the same store stays.
	for _, p := range was.Pools {
		if slices.Contains(j.who.Stores, p.Store) && !slices.ContainsFunc(m.Pools, func(o MemberPool) bool { return o.Store == p.Store }) {
			m.Pools = append(slices.Clip(m.Pools), p)
		}
	}
	slices.SortFunc(m.Pools, func(a, b MemberPool) int {
		return strings.Compare(a.Pool+"\x00"+a.Store, b.Pool+"\x00"+b.Store)
	})
	if reflect.DeepEqual(m, was) {
		return string(stored)
	}
	return encode(m)
}

// leave takes the sign of life back. What goes wrong with that mends itself:
// the sign ends by itself.
func (j *joined) leave(ctx context.Context) {
	if j.lease == 0 {
		return
	}
	one, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_, _ = j.store.client.Revoke(one, j.lease)
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic("state: encode " + err.Error()) // strings and times only
	}
	return string(b)
}
