package state

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sluice-lb/sluice/pkg/objects"
)

func update(t *testing.T, s *Store, muts ...Mutation) Change {
	t.Helper()
	change, err := s.Update(t.Context(), audit(), muts)
	if err != nil {
		t.Fatal(err)
	}
	return change
}

func drain(o objects.Object) Mutation {
	m := set(o, "weight", 0)
	m.Memory = Remember
	return m
}

func pool(o objects.Object) Mutation {
	m := set(o, "pooled", "yes")
	m.Memory = Recall
	return m
}

// memories returns what is remembered, key=value.
func memories(t *testing.T, s *Store) string {
	t.Helper()
	resp, err := s.client.Get(t.Context(), s.own("drained"), clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, kv := range resp.Kvs {
		all = append(all, strings.TrimPrefix(string(kv.Key), s.own("drained"))+"="+string(kv.Value))
	}
	return strings.Join(all, " ")
}

func TestPoolGivesBackWhatDrainTook(t *testing.T) {
	s := open(t)
	putNode(t, s, "cp1001", `{"weight": 10, "pooled": "yes"}`)
	drained := update(t, s, drain(get(t, s, "cp1001")))
	want := fmt.Sprintf(`conftool/v1/pools/%s/cp1001={"weight":10,"change":"%s"}`, httpsPool, drained.ID)
	if got := memories(t, s); got != want {
		t.Errorf("remembered %s, want %s", got, want)
	}
	update(t, s, drain(get(t, s, "cp1001"))) // again: nothing to take
	if got := memories(t, s); got != want {
		t.Errorf("after a second drain %s, want %s", got, want)
	}
	change := update(t, s, pool(get(t, s, "cp1001")))
	if got := string(get(t, s, "cp1001").Raw); got != `{"weight": 10, "pooled": "yes"}` {
		t.Errorf("pooled: %s", got)
	}
	if d := change.Objects[0].Diffs; len(d) != 1 || d[0].String() != "weight changed 0 => 10" {
		t.Errorf("diffs %v", d)
	}
	if got := memories(t, s); got != "" {
		t.Errorf("still remembered: %s", got)
	}
}

// A memory is of the last drain: whoever gives the object another weight ends it.
func TestMemoryEnds(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(o objects.Object) Mutation
	}{
		{"weight set", func(o objects.Object) Mutation { return set(o, "weight", 5) }},
		{"deleted", func(o objects.Object) Mutation { return Mutation{Verb: Delete, Object: o} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := open(t)
			putNode(t, s, "cp1001", `{"weight": 10, "pooled": "yes"}`)
			update(t, s, drain(get(t, s, "cp1001")))
			update(t, s, set(get(t, s, "cp1001"), "pooled", "no"))
			if memories(t, s) == "" {
				t.Error("a depool ended the memory")
			}
			update(t, s, tc.end(get(t, s, "cp1001")))
			if got := memories(t, s); got != "" {
				t.Errorf("still remembered: %s", got)
			}
		})
	}
}

// A mass change ends the memories there are without an operation for each
// object there is none of.
func TestMassChangeEndsMemories(t *testing.T) {
	s := open(t)
	const n = 200
	var muts []Mutation
	for i := range n {
		putNode(t, s, fmt.Sprintf("cp%04d", i), `{"weight": 10, "pooled": "yes"}`)
	}
	update(t, s, drain(get(t, s, "cp0007")))
	l := list(t, s)
	for _, o := range l.Objects {
		muts = append(muts, set(o, "weight", 3))
	}
	update(t, s, muts...)
	if got := memories(t, s); got != "" {
		t.Errorf("still remembered: %s", got)
	}
	if got, want := list(t, s).Revision-l.Revision, int64(2); got != want {
		t.Errorf("%d transactions, want %d", got, want)
	}
}

// Whoever pools while somebody else does gives the weight back only once.
func TestRecallOfAMemoryThatIsGone(t *testing.T) {
	s := open(t)
	putNode(t, s, "cp1001", `{"weight": 10, "pooled": "no"}`)
	update(t, s, drain(get(t, s, "cp1001")))
	muts, err := s.Recall(t.Context(), []Mutation{pool(get(t, s, "cp1001"))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.Delete(t.Context(), s.own("drained"), clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(t.Context(), audit(), muts); !errors.Is(err, ErrConflict) {
		t.Errorf("error %v, want %v", err, ErrConflict)
	}
}

func TestMalformedMemoryIsNamed(t *testing.T) {
	s := open(t)
	putNode(t, s, "cp1001", `{"weight": 0, "pooled": "no"}`)
	put(t, s, s.memoryKey(nodeKey("cp1001")), `{"weight": "ten"}`)
	_, err := s.Update(t.Context(), audit(), []Mutation{pool(get(t, s, "cp1001"))})
	if err == nil || !strings.Contains(err.Error(), "malformed record /conftool/sluice/drained/conftool/v1/pools/"+httpsPool+"/cp1001") {
		t.Errorf("error %v", err)
	}
}
