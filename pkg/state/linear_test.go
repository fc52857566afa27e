package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sluice-lb/sluice/internal/devetcd"
	"github.com/sluice-lb/sluice/pkg/objects"
)

// The crowd of TestCrowdLosesNothing: on each pair of objects, some writers
// fight for the shared fields, which are only ever changed in both at once, and
// some have a field of their own.
const (
	pairs        = 12
	sharedFields = 2
	rivals       = 10 // per pair
	loners       = 10 // per pair
	leaderKills  = 3
	between      = 60 // changes acknowledged before and after each kill
)

// step is one operation on one field: a read, or a compare-and-swap.
type step struct {
	read     bool
	old, new int
}

// end is how a compare-and-swap ended.
type end int

const (
	applied end = iota
	conflicted
	unknown // it may take effect at any time after its call, or never
)

// result is what a step returned.
type result struct {
	value int // of a read
	end   end
}

// fieldModel is one field: a register with compare-and-swap.
func fieldModel() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{0} },
		Step: func(state, input, output any) []any {
			now, in, out := state.(int), input.(step), output.(result)
			switch {
			case in.read && out.value != now:
				return nil
			case in.read:
				return []any{now}
			case out.end == unknown && now == in.old:
				return []any{now, in.new}
			case out.end == unknown:
				return []any{now}
			case (out.end == applied) != (now == in.old):
				return nil
			case out.end == applied:
				return []any{in.new}
			}
			return []any{now}
		},
		Equal: func(a, b any) bool { return a == b },
	}
	return m.ToModel()
}

// crowd is the test's world: a cluster, stores on it, and what happened.
type crowd struct {
	t       *testing.T
	cluster *devetcd.Cluster
	stores  []*Store
	typ     *objects.Type
	start   time.Time

	mu      sync.Mutex
	history map[string][]porcupine.Operation // by field
	acked   map[string]bool                  // change IDs
	unsure  int
	grown   *sync.Cond
}

// Hundreds of writers on the same and on different fields of the same objects,
// while the leaders of the cluster die: what each field went through is
// linearizable, two objects changed at once are never seen apart, and the
// history holds every acknowledged change in an unbroken chain.
func TestCrowdLosesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a cluster and twenty seconds")
	}
	c := newCrowd(t)
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for pair := range pairs {
		for i := range rivals {
			group.Go(func() { c.write(ctx, pair, i, fmt.Sprintf("s%d", i%sharedFields), 2) })
		}
		for i := range loners {
			group.Go(func() { c.write(ctx, pair, rivals+i, fmt.Sprintf("l%d", i), 1) })
		}
	}
	for range leaderKills {
		c.await(between)
		leader := c.cluster.Leader()
		if leader < 0 {
			continue
		}
		c.cluster.Stop(leader)
		c.await(between)
		if err := c.cluster.Restart(leader); err != nil {
			t.Error(err)
		}
	}
	c.await(between)
	cancel()
	group.Wait()
	c.judge()
}

func newCrowd(t *testing.T) *crowd {
	cluster, err := devetcd.StartCluster(3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cluster.Close() })
	c := &crowd{
		t: t, cluster: cluster, typ: &objects.Type{Name: "counter", Path: "counters"}, start: time.Now(),
		history: make(map[string][]porcupine.Operation), acked: make(map[string]bool),
	}
	c.grown = sync.NewCond(&c.mu)
	for i := range sharedFields {
		c.typ.Fields = append(c.typ.Fields, objects.Field{Name: fmt.Sprintf("s%d", i), Kind: objects.Int, Default: 0})
	}
	for i := range loners {
		c.typ.Fields = append(c.typ.Fields, objects.Field{Name: fmt.Sprintf("l%d", i), Kind: objects.Int, Default: 0})
	}
	for range 4 {
		s, err := Open(Config{Endpoints: cluster.Endpoints(), Timeout: 6 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		c.stores = append(c.stores, s)
	}
	var muts []Mutation
	for pair := range pairs {
		for _, half := range []string{"a", "b"} {
			key := objects.Key{Name: fmt.Sprintf("%d%s", pair, half)}
			muts = append(muts, Mutation{Verb: Create, Object: objects.Object{Type: c.typ, Key: key}})
		}
	}
	update(t, c.stores[0], muts...)
	return c
}

// await waits until that many more changes are acknowledged.
func (c *crowd) await(more int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for goal := len(c.acked) + more; len(c.acked) < goal; {
		c.grown.Wait()
	}
}

// write is one writer: it reads a field, of one object or of both, and changes
// it to a value nobody else uses, again and again.
func (c *crowd) write(ctx context.Context, pair, writer int, field string, halves int) {
	store := c.stores[writer%len(c.stores)]
	sel, err := c.typ.ParseSelector(fmt.Sprintf("name=%d[ab]", pair))
	if err != nil {
		c.t.Error(err)
		return
	}
	name := fmt.Sprintf("%d%s", pair, field)
	for round := 1; ctx.Err() == nil; round++ {
		called := c.now()
		listing, err := store.List(ctx, c.typ, sel)
		if err != nil {
			continue // nothing was read, nothing is recorded
		}
		seen, ok := c.same(listing, field, halves)
		if !ok {
			return
		}
		c.record(name, writer, step{read: true}, called, c.now(), result{value: seen})
		value := (round*1000+writer)*10 + pair
		var muts []Mutation
		for _, o := range listing.Objects[:halves] {
			muts = append(muts, set(o, field, value))
		}
		called = c.now()
		change, err := store.Update(ctx, audit(), muts)
		c.ended(name, writer, step{old: seen, new: value}, called, change, err)
	}
}

// same returns the field's value, which must be the same in both objects if it
// is only ever changed in both.
func (c *crowd) same(l Listing, field string, halves int) (int, bool) {
	var values []int
	for _, o := range l.Objects {
		v, err := o.Value(field)
		n, ok := v.(int)
		if err != nil || !ok {
			c.t.Errorf("%s of %s: %v, %v", field, o.Key, v, err)
			return 0, false
		}
		values = append(values, n)
	}
	if len(values) != 2 || halves == 2 && values[0] != values[1] {
		c.t.Errorf("%s at revision %d: %v, want two that are the same", field, l.Revision, values)
		return 0, false
	}
	return values[0], true
}

// ended records how an Update ended.
func (c *crowd) ended(name string, writer int, in step, called int64, change Change, err error) {
	switch {
	case err == nil:
		c.record(name, writer, in, called, c.now(), result{end: applied})
		c.mu.Lock()
		c.acked[change.ID] = true
		c.grown.Broadcast()
		c.mu.Unlock()
	case errors.Is(err, ErrConflict):
		c.record(name, writer, in, called, c.now(), result{end: conflicted})
	case errors.Is(err, ErrUnknown):
		c.record(name, writer, in, called, math.MaxInt64, result{end: unknown})
		c.mu.Lock()
		c.unsure++
		c.mu.Unlock()
	}
	// Any other error says that nothing was done, and why does not matter: if
	// it were untrue, a later read would be out of line.
}

func (c *crowd) now() int64 { return int64(time.Since(c.start)) }

func (c *crowd) record(name string, writer int, in step, called, returned int64, out result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.history[name] = append(c.history[name], porcupine.Operation{
		ClientId: writer, Input: in, Call: called, Output: out, Return: returned,
	})
}

// judge holds the fields' histories against the model, and the records against
// what the writers were told.
func (c *crowd) judge() {
	operations := 0
	for name, history := range c.history {
		operations += len(history)
		if got := porcupine.CheckOperationsTimeout(fieldModel(), history, 30*time.Second); got != porcupine.Ok {
			c.t.Errorf("field %s: %d operations: linearizable: %s", name, len(history), got)
		}
	}
	records, voids := c.records()
	last := make(map[string]string)
	for _, r := range records {
		delete(c.acked, r.ID)
		for _, o := range r.Objects {
			if before, ok := last[o.Key]; ok && before != string(o.Before) {
				c.t.Errorf("change %s of %s: before %s, but it was left as %s", r.ID, o.Key, o.Before, before)
			}
			last[o.Key] = string(o.After)
		}
	}
	if len(c.acked) > 0 {
		c.t.Errorf("%d acknowledged changes have no record", len(c.acked))
	}
	c.t.Logf("%d operations, %d changes, %d unknown, %d voided", operations, len(records), c.unsure, voids)
}

// records returns the records of the changes carried out, in the store's order.
func (c *crowd) records() (all []Recorded, voids int) {
	s := c.stores[rand.IntN(len(c.stores))]
	var entries []Entry
	if _, err := s.scan(c.t.Context(), s.own("changes"), 0, func(e Entry) { entries = append(entries, e) }); err != nil {
		c.t.Fatal(err)
	}
	slices.SortFunc(entries, func(a, b Entry) int { return int(a.Revision - b.Revision) })
	for _, e := range entries {
		var r Recorded
		if err := json.Unmarshal(e.Value, &r); err != nil {
			c.t.Fatal(err)
		}
		if r.Void {
			voids++
			continue
		}
		all = append(all, r)
	}
	return all, voids
}

// A member that hangs keeps its connections and answers nothing: requests go to
// another within their timeout, and those that follow lose no time on it.
func TestHungMemberIsLeft(t *testing.T) {
	cluster, err := devetcd.StartCluster(3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cluster.Close() })
	link := newLink(t, strings.TrimPrefix(cluster.Endpoints()[0], "http://"))
	s, err := Open(Config{Endpoints: []string{"http://" + link.addr(), cluster.Endpoints()[1], cluster.Endpoints()[2]}, Timeout: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for range 30 { // all three are connected
		putNode(t, s, "cp1001", `{"weight": 1, "pooled": "yes"}`)
	}
	link.hang()
	var group sync.WaitGroup
	for i := range 30 {
		group.Go(func() {
			o := objects.Object{Type: objects.Node(), Key: objects.Key{Tags: httpsPool, Name: fmt.Sprintf("new%d", i)}}
			if _, err := s.Update(t.Context(), audit(), []Mutation{{Verb: Create, Object: o}}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := len(list(t, s).Objects); n != 31 {
		t.Errorf("%d objects, want 31", n)
	}
	for range 10 {
		start := time.Now()
		list(t, s)
		if took := time.Since(start); took > time.Second {
			t.Errorf("a listing after the member was left took %s", took)
		}
	}
}

// An answer that is lost while the transaction is still on its way: it must
// neither be told as failed and then happen, nor happen twice.
func TestLostAnswer(t *testing.T) {
	server, err := devetcd.Start(devetcd.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	direct := connect(t, server.Endpoint())
	putNode(t, direct, "cp1001", `{"weight": 10, "pooled": "yes"}`)
	seen := get(t, direct, "cp1001")
	d, err := direct.draft(Recorded{ID: "late", Audit: audit()}, []Mutation{set(seen, "pooled", "no")})
	if err != nil {
		t.Fatal(err)
	}
	// Nobody answers: the draft is voided, and what arrives later is refused.
	if a, err := direct.void(t.Context(), d, context.DeadlineExceeded); err == nil || a.applied || errors.Is(err, ErrUnknown) {
		t.Errorf("voided: %+v, %v", a, err)
	}
	resp, err := direct.client.Txn(t.Context()).If(d.compares()...).Then(d.writes()...).Commit()
	if err != nil || resp.Succeeded {
		t.Errorf("the late transaction went through: %v, %v", resp, err)
	}
	// It had arrived: voiding learns so, and so does sending it again.
	d.rec.ID, d.auditKey = "early", direct.own("changes")+"early/0000"
	done, err := direct.client.Txn(t.Context()).If(d.compares()...).Then(d.writes()...).Commit()
	if err != nil || !done.Succeeded {
		t.Fatal(done, err)
	}
	for name, ask := range map[string]func() (answer, error){
		"void":  func() (answer, error) { return direct.void(t.Context(), d, context.DeadlineExceeded) },
		"again": func() (answer, error) { return direct.commit(t.Context(), d) },
	} {
		if a, err := ask(); err != nil || !a.applied || a.revision != done.Header.Revision {
			t.Errorf("%s: %+v, %v, want applied at %d", name, a, err, done.Header.Revision)
		}
	}
	if resp, err := direct.client.Get(t.Context(), direct.own("changes"), clientv3.WithPrefix()); err != nil || len(resp.Kvs) != 2 {
		t.Errorf("records %v, %v, want the void one and the one", resp, err)
	}
}

// With no server to ask, the outcome is unknown and said to be.
func TestUnknownOutcomeIsSaid(t *testing.T) {
	server, err := devetcd.Start(devetcd.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	link := newLink(t, server.Addr())
	s, err := Open(Config{Endpoints: []string{"http://" + link.addr()}, Timeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	putNode(t, s, "cp1001", `{"weight": 10, "pooled": "yes"}`)
	seen := get(t, s, "cp1001")
	link.hang()
	_, err = s.Update(t.Context(), audit(), []Mutation{set(seen, "pooled", "no")})
	if !errors.Is(err, ErrUnknown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want %v", err, ErrUnknown)
	}
	t.Log(err)
}
