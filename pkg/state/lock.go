package state

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Claim says what is to be locked, and who wants it for what.
type Claim struct {
	// Name is the lock's; any text.
	Name string
	// Slots is how many may hold it at once; 1 unless set. Where claims differ,
	// the smallest number among those that are ahead counts.
	Slots int
	// Wait is how long to wait for others to give it back; 0 is not at all.
	Wait time.Duration
	// Audit says who claims.
	Audit Audit
}

// Claimant is one that holds a lock or waits for it.
type Claimant struct {
	Name  string    `json:"name"`
	Slots int       `json:"slots"`
	Since time.Time `json:"since"` // by the claimant's clock
	Audit
	// Holds is false while it waits.
	Holds bool `json:"holds"`

	key string
}

// ErrLockLost is the cause a lock's context ends with when its lease can no
// longer be kept: another may hold the lock from then on.
var ErrLockLost = errors.New("lock lost")

// LockedError is the error of a claim that had to wait for too long.
type LockedError struct {
	// Ahead are those that hold the lock, and that came first.
	Ahead []Claimant
}

// Error names the first of them.
func (e *LockedError) Error() string {
	first := e.Ahead[0]
	text := fmt.Sprintf("held by %s since %s", first, first.Since.Format(time.RFC3339))
	if n := len(e.Ahead) - 1; n > 0 {
		text += fmt.Sprintf(", and %d more before us", n)
	}
	return text
}

// String says who it is: "ada@deploy1002 (confctl sync data)".
func (c Claimant) String() string {
	text := c.User + "@" + c.Host
	if len(c.Command) > 0 {
		text += " (" + strings.Join(c.Command, " ") + ")"
	}
	return text
}

// errGone means that our claim is no longer in the store.
var errGone = errors.New("the claim is gone from the store")

// Lock waits until the claim is granted, in the order claims were made, and
// holds it until release is called. The context it returns ends with ctx, and
// with ErrLockLost in good time before anybody else can be granted the lock. A
// process that dies gives its locks back within ten seconds. While it waits
// wait, unless nil, is told who is ahead, whenever that changes; after
// claim.Wait the error is a LockedError.
//
// The claim lives at NAMESPACE/sluice/locks/NAME/LEASE.
func (s *Store) Lock(ctx context.Context, claim Claim, wait func(ahead []Claimant)) (held context.Context, release func(), err error) {
	c := &claimed{store: s, name: claim.Name, prefix: s.lockPrefix(claim.Name)}
	held, cancel := context.WithCancelCause(ctx)
	if err := c.claim(ctx, claim); err != nil {
		cancel(nil)
		return nil, nil, fmt.Errorf("lock %s: %w", claim.Name, err)
	}
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		c.keep(held, cancel)
	}()
	release = func() {
		cancel(nil)
		<-kept
		c.leave(ctx)
	}
	if err := c.turn(held, claim.Wait, wait); err != nil {
		release()
		return nil, nil, fmt.Errorf("lock %s: %w", claim.Name, err)
	}
	return held, release, nil
}

// lockPrefix is what the keys of all claims of a lock begin with.
func (s *Store) lockPrefix(name string) string {
	return s.own("locks") + url.PathEscape(name) + "/"
}

// claimed is one claim in the store.
type claimed struct {
	store  *Store
	name   string
	prefix string
	key    string
	lease  clientv3.LeaseID
	until  time.Time // when the lease may end, by our clock
}

// claim puts the claim at the end of the queue.
func (c *claimed) claim(ctx context.Context, claim Claim) error {
	one, cancel := c.store.request(ctx)
	defer cancel()
	began := time.Now()
	granted, err := c.store.client.Grant(one, int64(lifetime/time.Second))
	if err != nil {
		return c.store.explain(ctx, err)
	}
	c.lease, c.until = granted.ID, began.Add(lifetime)
	c.key = fmt.Sprintf("%s%016x", c.prefix, int64(granted.ID))
	value := encode(Claimant{Slots: max(claim.Slots, 1), Since: time.Now().UTC().Truncate(time.Second), Audit: claim.Audit})
	if _, err = c.store.client.Put(one, c.key, value, clientv3.WithLease(c.lease)); err != nil {
		err = c.store.permit(ctx, err, need{key: c.key, write: true})
		c.leave(ctx)
	}
	return err
}

// keep renews the lease until ctx ends. It ends held itself a beat before the
// lease does, for then others may be granted what we think we hold.
func (c *claimed) keep(ctx context.Context, lose context.CancelCauseFunc) {
	tick := time.NewTicker(lifebeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		began := time.Now()
		one, cancel := context.WithDeadline(ctx, c.until.Add(-lifebeat))
		_, err := c.store.client.KeepAliveOnce(one, c.lease)
		cancel()
		switch {
		case err == nil:
			c.until = began.Add(lifetime)
		case ctx.Err() != nil:
			return
		case errors.Is(err, rpctypes.ErrLeaseNotFound), !time.Now().Before(c.until.Add(-lifebeat)):
			lose(fmt.Errorf("%s: %w: %w", c.name, ErrLockLost, c.store.explain(ctx, err)))
			return
		}
	}
}

// turn waits until so few are ahead that the claim is granted, but not longer
// than patience.
func (c *claimed) turn(ctx context.Context, patience time.Duration, wait func([]Claimant)) error {
	soon, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		queue, revision, err := c.store.queue(ctx, c.prefix)
		if err != nil {
			return cmp.Or(context.Cause(ctx), err)
		}
		ahead, granted := c.place(queue)
		switch {
		case ahead == nil:
			return errGone
		case granted:
			return nil
		case patience == 0:
			return &LockedError{ahead[:len(ahead)-1]}
		}
		if wait != nil {
			wait(ahead[:len(ahead)-1])
		}
		if err := c.untilLeft(soon, revision); err != nil {
			if soon.Err() != nil && ctx.Err() == nil {
				err = &LockedError{ahead[:len(ahead)-1]}
			}
			return err
		}
	}
}

// place returns the claims up to and including ours, and whether it is granted.
func (c *claimed) place(queue []Claimant) (upToOurs []Claimant, granted bool) {
	for i, q := range queue {
		if q.key == c.key {
			return queue[:i+1], q.Holds
		}
	}
	return nil, false
}

// untilLeft waits until a claim has gone after the revision.
func (c *claimed) untilLeft(ctx context.Context, revision int64) error {
	ctx, cancel := context.WithCancel(ctx) // ends the watch
	defer cancel()
	deleted := c.store.client.Watch(ctx, c.prefix, clientv3.WithPrefix(), clientv3.WithFilterPut(), clientv3.WithRev(revision+1))
	for resp := range deleted {
		if err := resp.Err(); err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
			return c.store.explain(ctx, err)
		}
		if resp.CompactRevision > 0 || len(resp.Events) > 0 {
			return nil // look again
		}
	}
	return context.Cause(ctx)
}

// leave takes the claim back. What goes wrong with that mends itself: the lease
// ends by itself.
func (c *claimed) leave(ctx context.Context) {
	one, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_, _ = c.store.client.Revoke(one, c.lease)
}

// queue reads the claims of one lock in their order.
func (s *Store) queue(ctx context.Context, prefix string) ([]Claimant, int64, error) {
	resp, err := s.get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortAscend))
	if err != nil {
		return nil, 0, s.permit(ctx, err, need{key: prefix, end: clientv3.GetPrefixRangeEnd(prefix)})
	}
	var queue []Claimant
	least := 0
	for i, kv := range resp.Kvs {
		c := s.claimant(kv)
		if i == 0 || c.Slots < least {
			least = c.Slots
		}
		c.Holds = i < least
		queue = append(queue, c)
	}
	return queue, resp.Header.Revision, nil
}

// claimant reads a claim. One that cannot be read is still in the way: it
// claims the whole lock.
func (s *Store) claimant(kv *mvccpb.KeyValue) Claimant {
	var c Claimant
	if json.Unmarshal(kv.Value, &c) != nil || c.Slots < 1 {
		c = Claimant{Slots: 1, Audit: Audit{User: "unknown", Host: "unknown"}}
	}
	c.key = string(kv.Key)
	name, _, _ := strings.Cut(strings.TrimPrefix(c.key, s.own("locks")), "/")
	if plain, err := url.PathUnescape(name); err == nil {
		name = plain
	}
	c.Name = name
	return c
}

// Locks returns who holds or waits for which lock, by lock and in the order of
// the claims.
func (s *Store) Locks(ctx context.Context) ([]Claimant, error) {
	resp, err := s.get(ctx, s.own("locks"), clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return nil, fmt.Errorf("list locks: %w", s.permit(ctx, err, prefix(s.own("locks"))))
	}
	var all []Claimant
	last := ""
	for _, kv := range resp.Kvs {
		dir := string(kv.Key[:strings.LastIndexByte(string(kv.Key), '/')+1])
		if dir == last {
			continue
		}
		last = dir
		queue, _, err := s.queue(ctx, dir)
		if err != nil {
			return nil, fmt.Errorf("list locks: %w", err)
		}
		all = append(all, queue...)
	}
	return all, nil
}
