package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-lb/sluice/internal/devetcd"
	"github.com/sluice-lb/sluice/pkg/objects"
)

const httpsPool = "eqiad/cache_text/https"

func TestPatchTouchesOnlyItsFields(t *testing.T) {
	s := open(t)
	putNode(t, s, "cp1001", `{"weight": 10, "pooled": "yes", "note": "keep me"}`)
	before := get(t, s, "cp1001")
	change, err := s.Update(t.Context(), audit(), []Mutation{set(before, "pooled", "no")})
	if err != nil {
		t.Fatal(err)
	}
	after := get(t, s, "cp1001")
	if got, want := string(after.Raw), `{"weight": 10, "pooled": "no", "note": "keep me"}`; got != want {
		t.Errorf("stored %s, want %s", got, want)
	}
	if change.Revision != after.Revision || change.ID == "" {
		t.Errorf("change %q at %d, object at %d", change.ID, change.Revision, after.Revision)
	}
	if o := change.Objects[0]; !o.Changed || len(o.Diffs) != 1 || o.Diffs[0].Old != "yes" || o.Diffs[0].New != "no" {
		t.Errorf("outcome %+v", o)
	}
}

func TestAuditRecordIsInTheSameTransaction(t *testing.T) {
	s := open(t)
	putNode(t, s, "cp1001", `{"weight": 10, "pooled": "yes"}`)
	change, err := s.Update(t.Context(), Audit{User: "ann", Host: "h", Command: []string{"depool"}, Reason: "disk"},
		[]Mutation{set(get(t, s, "cp1001"), "pooled", "no")})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.client.Get(t.Context(), s.own("changes")+change.ID+"/0000")
	if err != nil || len(resp.Kvs) != 1 {
		t.Fatalf("audit record: %v, %v", resp, err)
	}
	if resp.Kvs[0].ModRevision != change.Revision {
		t.Errorf("audit at revision %d, change at %d", resp.Kvs[0].ModRevision, change.Revision)
	}
	var rec Recorded
	if err := json.Unmarshal(resp.Kvs[0].Value, &rec); err != nil {
		t.Fatal(err)
	}
	if rec.User != "ann" || rec.Reason != "disk" || len(rec.Objects) != 1 ||
		!strings.Contains(string(rec.Objects[0].Before), "yes") || !strings.Contains(string(rec.Objects[0].After), "no") {
		t.Errorf("record %+v", rec)
	}
}

func TestNothingToChangeWritesNothing(t *testing.T) {
	s := open(t)
	putNode(t, s, "cp1001", `{"weight": 10, "pooled": "no"}`)
	before := get(t, s, "cp1001")
	change, err := s.Update(t.Context(), audit(), []Mutation{set(before, "pooled", "no")})
	if err != nil {
		t.Fatal(err)
	}
	if after := get(t, s, "cp1001"); after.Revision != before.Revision {
		t.Errorf("object moved from revision %d to %d", before.Revision, after.Revision)
	}
	if change.ID != "" || change.Revision != before.Revision || change.Objects[0].Changed {
		t.Errorf("change %+v, want none, holding since %d", change, before.Revision)
	}
}

// A colleague's change while we sat at the prompt: other fields survive, our
// own field is never overwritten unseen. Both are recorded losses of conftool.
func TestConcurrentChange(t *testing.T) {
	for _, tc := range []struct {
		name, theirs, want string
		err                error
	}{
		{"other field", `{"weight": 20, "pooled": "yes"}`, `{"weight": 20, "pooled": "no"}`, nil},
		{"same field, same value", `{"weight": 10, "pooled": "no"}`, `{"weight": 10, "pooled": "no"}`, nil},
		{"same field", `{"weight": 10, "pooled": "inactive"}`, `{"weight": 10, "pooled": "inactive"}`, ErrConflict},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := open(t)
			putNode(t, s, "cp1001", `{"weight": 10, "pooled": "yes"}`)
			seen := get(t, s, "cp1001")
			putNode(t, s, "cp1001", tc.theirs)
			_, err := s.Update(t.Context(), audit(), []Mutation{set(seen, "pooled", "no")})
			if !errors.Is(err, tc.err) {
				t.Errorf("error %v, want %v", err, tc.err)
			}
			if got := string(get(t, s, "cp1001").Raw); got != tc.want {
				t.Errorf("stored %s, want %s", got, tc.want)
			}
		})
	}
}

func TestConflictInOneObjectChangesNone(t *testing.T) {
	s := open(t)
	putNode(t, s, "a", `{"weight": 1, "pooled": "yes"}`)
	putNode(t, s, "b", `{"weight": 1, "pooled": "yes"}`)
	a, b := get(t, s, "a"), get(t, s, "b")
	putNode(t, s, "b", `{"weight": 1, "pooled": "inactive"}`)
	_, err := s.Update(t.Context(), audit(), []Mutation{set(a, "pooled", "no"), set(b, "pooled", "no")})
	if !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), httpsPool+"/b: pooled was yes, is now inactive") {
		t.Errorf("error %v", err)
	}
	if got := get(t, s, "a"); got.Revision != a.Revision {
		t.Errorf("a was changed: %s", got.Raw)
	}
}

func TestObjectGoneIsNotRecreated(t *testing.T) {
	s := open(t)
	putNode(t, s, "cp1001", `{"weight": 1, "pooled": "yes"}`)
	seen := get(t, s, "cp1001")
	if _, err := s.client.Delete(t.Context(), nodeKey("cp1001")); err != nil {
		t.Fatal(err)
	}
	_, err := s.Update(t.Context(), audit(), []Mutation{set(seen, "pooled", "no")})
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("error %v, want %v", err, ErrNotFound)
	}
	if l := list(t, s); len(l.Objects) != 0 {
		t.Errorf("recreated: %s", l.Objects[0].Raw)
	}
}

func TestCreateAndDelete(t *testing.T) {
	s := open(t)
	fresh := objects.Object{Type: objects.Node(), Key: objects.Key{Tags: httpsPool, Name: "cp1001"}}
	create := []Mutation{{Verb: Create, Object: fresh}}
	if _, err := s.Update(t.Context(), audit(), create); err != nil {
		t.Fatal(err)
	}
	made := get(t, s, "cp1001")
	if got, want := string(made.Raw), `{"weight": 0, "pooled": "inactive"}`; got != want {
		t.Errorf("created %s, want %s", got, want)
	}
	putNode(t, s, "cp1001", `{"weight": 5, "pooled": "yes"}`)
	change, err := s.Update(t.Context(), audit(), create)
	if err != nil || change.Objects[0].Changed {
		t.Errorf("create over an existing object: %+v, %v", change, err)
	}
	if _, err := s.Update(t.Context(), audit(), []Mutation{{Verb: Delete, Object: made}}); !errors.Is(err, ErrConflict) {
		t.Errorf("delete of a changed object: %v, want %v", err, ErrConflict)
	}
	if _, err := s.Update(t.Context(), audit(), []Mutation{{Verb: Delete, Object: get(t, s, "cp1001")}}); err != nil {
		t.Fatal(err)
	}
	if l := list(t, s); len(l.Objects) != 0 {
		t.Errorf("still there: %v", l.Objects)
	}
}

func TestManyObjectsTakeFewTransactions(t *testing.T) {
	s := open(t)
	const n = 300
	var muts []Mutation
	for i := range n {
		key := objects.Key{Tags: httpsPool, Name: fmt.Sprintf("cp%04d", i)}
		muts = append(muts, Mutation{Verb: Create, Object: objects.Object{Type: objects.Node(), Key: key}})
	}
	before := list(t, s).Revision
	change, err := s.Update(t.Context(), audit(), muts)
	if err != nil {
		t.Fatal(err)
	}
	l := list(t, s)
	if len(l.Objects) != n || len(change.Objects) != n {
		t.Errorf("%d objects stored, %d outcomes, want %d", len(l.Objects), len(change.Objects), n)
	}
	if got, want := l.Revision-before, int64(3); got != want {
		t.Errorf("%d transactions, want %d", got, want)
	}
}

// Writers on different fields of one object never lose each other's work.
func TestConcurrentWritersLoseNothing(t *testing.T) {
	s := open(t)
	fields := make([]objects.Field, 20)
	for i := range fields {
		fields[i] = objects.Field{Name: fmt.Sprintf("f%02d", i), Kind: objects.Int, Default: 0}
	}
	typ := &objects.Type{Name: "counter", Path: "counters", Fields: fields}
	start := objects.Object{Type: typ, Key: objects.Key{Name: "x"}}
	if _, err := s.Update(t.Context(), audit(), []Mutation{{Verb: Create, Object: start}}); err != nil {
		t.Fatal(err)
	}
	sel, err := typ.ParseSelector("name=x")
	if err != nil {
		t.Fatal(err)
	}
	read := func() objects.Object {
		l, err := s.List(t.Context(), typ, sel)
		if err != nil || len(l.Objects) != 1 {
			t.Fatalf("list: %v, %v", l, err)
		}
		return l.Objects[0]
	}
	seen := read()
	var group sync.WaitGroup
	for i, f := range fields {
		group.Go(func() {
			_, err := s.Update(t.Context(), audit(), []Mutation{set(seen, f.Name, i+1)})
			if err != nil {
				t.Errorf("writer %d: %v", i, err)
			}
		})
	}
	group.Wait()
	after := read()
	for i, f := range fields {
		if got, err := after.Value(f.Name); err != nil || got != i+1 {
			t.Errorf("%s = %v, %v, want %d", f.Name, got, err, i+1)
		}
	}
}

func TestListNamesStrayKeysAndKeepsToItsPrefix(t *testing.T) {
	s := open(t)
	putNode(t, s, "cp1001", `{}`)
	put(t, s, "/conftool/v1/pools/stray", `{}`)
	put(t, s, "/conftool/v1/poolside/a/b/c/d", `{}`)
	l := list(t, s)
	if len(l.Objects) != 1 || len(l.Stray) != 1 || l.Stray[0] != "stray" {
		t.Errorf("objects %v, stray %v", l.Objects, l.Stray)
	}
}

func TestUnreachableStoreIsAnErrorInOneLine(t *testing.T) {
	s, err := Open(Config{Endpoints: []string{"http://127.0.0.1:1"}, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = s.List(t.Context(), objects.Node(), everything(t))
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("error %v", err)
	}
	t.Log(err)
}

func open(t *testing.T) *Store {
	t.Helper()
	server, err := devetcd.Start(devetcd.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return connect(t, server.Endpoint())
}

func connect(t *testing.T, endpoint string) *Store {
	t.Helper()
	s, err := Open(Config{Endpoints: []string{endpoint}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func nodeKey(host string) string { return "/conftool/v1/pools/" + httpsPool + "/" + host }

func put(t *testing.T, s *Store, key, value string) int64 {
	t.Helper()
	resp, err := s.client.Put(t.Context(), key, value)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Header.Revision
}

func putNode(t *testing.T, s *Store, host, value string) int64 {
	t.Helper()
	return put(t, s, nodeKey(host), value)
}

func everything(t *testing.T) *objects.Selector {
	t.Helper()
	sel, err := objects.Node().ParseSelector("dc=.*")
	if err != nil {
		t.Fatal(err)
	}
	return sel
}

func list(t *testing.T, s *Store) Listing {
	t.Helper()
	l, err := s.List(t.Context(), objects.Node(), everything(t))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func get(t *testing.T, s *Store, host string) objects.Object {
	t.Helper()
	for _, o := range list(t, s).Objects {
		if o.Key.Name == host {
			return o
		}
	}
	t.Fatalf("no object %s", host)
	return objects.Object{}
}

func set(o objects.Object, field string, value any) Mutation {
	return Mutation{Verb: Patch, Object: o, Set: []objects.Setting{{Field: field, Value: value}}}
}

func audit() Audit { return Audit{User: "tester", Host: "localhost", Command: []string{"test"}} }
