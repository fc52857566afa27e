package state

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sluice-lb/sluice/pkg/objects"
)

func types() []*objects.Type { return []*objects.Type{objects.Node()} }

// recordAt stores a record of a change made at that time to one host.
func recordAt(t *testing.T, s *Store, at time.Time, part int, host string) string {
	t.Helper()
	r := Recorded{ID: idTime(at) + "-" + host, Part: part, Time: at, Audit: audit(), Objects: []RecordedObject{
		{Key: nodeKey(host), Before: []byte(`{"pooled":"yes"}`), After: []byte(`{"pooled":"no"}`)}}}
	put(t, s, s.own("changes")+r.key(), r.encode())
	return r.ID
}

func ids(records []Recorded) string {
	var all []string
	for _, r := range records {
		all = append(all, fmt.Sprintf("%s/%d", r.ID[len(r.ID)-1:], r.Part))
	}
	return strings.Join(all, " ")
}

// Changes a minute, a day, a month and years old; one of them in two parts.
func TestHistory(t *testing.T) {
	s := open(t)
	now := time.Now()
	recordAt(t, s, now.AddDate(-5, 0, 0), 0, "a")
	recordAt(t, s, now.AddDate(0, -1, 0), 0, "b")
	recordAt(t, s, now.AddDate(0, 0, -1), 0, "c")
	recordAt(t, s, now.AddDate(0, 0, -1), 1, "c")
	recordAt(t, s, now.Add(-time.Minute), 0, "d")
	recordAt(t, s, now.Add(time.Minute), 0, "e") // somebody's clock is ahead
	void := Recorded{ID: idTime(now) + "-v", Void: true}
	put(t, s, s.own("changes")+void.key(), void.encode())
	only, err := objects.Node().ParseSelector("name=(b|d)")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, want string
		query      HistoryQuery
	}{
		{"all", "e/0 d/0 c/1 c/0 b/0 a/0", HistoryQuery{}},
		{"newest", "e/0 d/0", HistoryQuery{Limit: 2}},
		{"two parts are one change", "e/0 d/0 c/1 c/0", HistoryQuery{Limit: 3}},
		{"oldest", "a/0 b/0 c/0 c/1", HistoryQuery{Limit: 3, Reverse: true}},
		{"since", "e/0 d/0 c/1 c/0", HistoryQuery{Since: now.Add(-48 * time.Hour)}},
		{"oldest since", "c/0 c/1", HistoryQuery{Since: now.Add(-48 * time.Hour), Reverse: true, Limit: 1}},
		{"selected", "d/0 b/0", HistoryQuery{Type: objects.Node(), Selector: only}},
		{"newest selected", "d/0", HistoryQuery{Type: objects.Node(), Selector: only, Limit: 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := s.History(t.Context(), tc.query)
			if diff := cmp.Diff(tc.want, ids(got)); err != nil || diff != "" {
				t.Errorf("error %v, records (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestHistoryNamesMalformedRecords(t *testing.T) {
	s := open(t)
	for key, value := range map[string]string{
		"20260101T000000.000Z-x/0000": `{"id": 7`,
		"20260101T000000.000Z-y/0000": `[]`,
		"20260101T000000.000Z-z/0000": `{"id": "other"}`,
		"stray":                       ``,
	} {
		put(t, s, s.own("changes")+key, value)
	}
	all, err := s.History(t.Context(), HistoryQuery{})
	if err != nil || len(all) != 4 {
		t.Fatalf("%v, %v, want four records", all, err)
	}
	for _, r := range all {
		if !strings.Contains(r.Malformed, "record "+r.ID) {
			t.Errorf("malformed: %q", r.Malformed)
		}
	}
	if _, err := s.PlanUndo(t.Context(), types(), "20260101T000000.000Z-x"); err == nil || !strings.Contains(err.Error(), "malformed record") {
		t.Errorf("undo of it: %v", err)
	}
}

func TestShowChangeOfManyParts(t *testing.T) {
	s := open(t)
	var muts []Mutation
	for i := range 200 {
		key := objects.Key{Tags: httpsPool, Name: fmt.Sprintf("cp%04d", i)}
		muts = append(muts, Mutation{Verb: Create, Object: objects.Object{Type: objects.Node(), Key: key}})
	}
	change := update(t, s, muts...)
	parts, err := s.ShowChange(t.Context(), change.ID)
	if err != nil || len(parts) != 2 || len(parts[0].Objects)+len(parts[1].Objects) != 200 || parts[1].Revision != change.Revision {
		t.Errorf("%d parts, %v", len(parts), err)
	}
	for _, id := range []string{"none", "", "a/b", change.ID[:20]} {
		if _, err := s.ShowChange(t.Context(), id); !errors.Is(err, ErrNotFound) {
			t.Errorf("change %q: %v, want %v", id, err, ErrNotFound)
		}
	}
	// All of it is taken back, under one ID again.
	u, err := s.PlanUndo(t.Context(), types(), change.ID)
	if err != nil {
		t.Fatal(err)
	}
	undone, err := s.Undo(t.Context(), audit(), u)
	if err != nil || len(undone.Objects) != 200 || len(list(t, s).Objects) != 0 {
		t.Errorf("undo: %d objects, %v", len(undone.Objects), err)
	}
}

func undo(t *testing.T, s *Store, id string) (Change, error) {
	t.Helper()
	u, err := s.PlanUndo(t.Context(), types(), id)
	if err != nil {
		return Change{}, err
	}
	return s.Undo(t.Context(), audit(), u)
}

func TestUndo(t *testing.T) {
	const stored = `{"weight": 10, "pooled": "yes", "note": "x"}`
	for _, tc := range []struct {
		name   string
		change func(s *Store) Mutation
		after  func(s *Store) // what others do before the undo
		want   string         // stored in the end; "" if nothing is
		err    string
	}{
		{
			name:   "patch",
			change: func(s *Store) Mutation { return set(get(t, s, "cp1001"), "pooled", "no") },
			want:   stored,
		}, {
			name:   "patch, another field changed since",
			change: func(s *Store) Mutation { return set(get(t, s, "cp1001"), "pooled", "no") },
			after:  func(s *Store) { putNode(t, s, "cp1001", `{"weight": 3, "pooled": "no", "note": "x"}`) },
			want:   `{"weight": 3, "pooled": "yes", "note": "x"}`,
		}, {
			name:   "patch, changed since",
			change: func(s *Store) Mutation { return set(get(t, s, "cp1001"), "pooled", "no") },
			after: func(s *Store) {
				m := set(get(t, s, "cp1001"), "pooled", "inactive")
				if _, err := s.Update(t.Context(), Audit{User: "bob", Host: "far"}, []Mutation{m}); err != nil {
					t.Fatal(err)
				}
			},
			want: `{"weight": 10, "pooled": "inactive", "note": "x"}`,
			err:  "cp1001: pooled was left as no, is now inactive: changed since by bob@far in change 2",
		}, {
			name:   "patch, changed since by a stranger",
			change: func(s *Store) Mutation { return set(get(t, s, "cp1001"), "pooled", "no") },
			after:  func(s *Store) { putNode(t, s, "cp1001", stored) },
			want:   stored,
			err:    "by a program that records nothing",
		}, {
			name:   "delete",
			change: func(s *Store) Mutation { return Mutation{Verb: Delete, Object: get(t, s, "cp1001")} },
			want:   stored,
		}, {
			name:   "delete, there again",
			change: func(s *Store) Mutation { return Mutation{Verb: Delete, Object: get(t, s, "cp1001")} },
			after:  func(s *Store) { putNode(t, s, "cp1001", `{}`) },
			want:   `{}`,
			err:    "was deleted, is there again",
		}, {
			name: "create",
			change: func(s *Store) Mutation {
				if _, err := s.client.Delete(t.Context(), nodeKey("cp1001")); err != nil {
					t.Fatal(err)
				}
				return Mutation{Verb: Create, Object: objects.Object{Type: objects.Node(), Key: objects.Key{Tags: httpsPool, Name: "cp1001"}}}
			},
		}, {
			name: "create, used since",
			change: func(s *Store) Mutation {
				if _, err := s.client.Delete(t.Context(), nodeKey("cp1001")); err != nil {
					t.Fatal(err)
				}
				return Mutation{Verb: Create, Object: objects.Object{Type: objects.Node(), Key: objects.Key{Tags: httpsPool, Name: "cp1001"}}}
			},
			after: func(s *Store) { update(t, s, set(get(t, s, "cp1001"), "pooled", "yes")) },
			want:  `{"weight": 0, "pooled": "yes"}`,
			err:   "pooled was left as inactive, is now yes",
		}, {
			name: "delete of garbage",
			change: func(s *Store) Mutation {
				putNode(t, s, "cp1001", `{"po`)
				return Mutation{Verb: Delete, Object: get(t, s, "cp1001")}
			},
			want: `{"po`,
		}, {
			name:   "replace",
			change: func(s *Store) Mutation { return replace(get(t, s, "cp1001"), `{"pooled":"no","weight":3,"note":"y"}`) },
			want:   stored,
		}, {
			name: "replace, another field changed since",
			change: func(s *Store) Mutation {
				return replace(get(t, s, "cp1001"), `{"weight": 10, "pooled": "no", "more": 1}`)
			},
			after: func(s *Store) { update(t, s, set(get(t, s, "cp1001"), "weight", 7)) },
			want:  `{"weight": 7, "pooled": "no", "more": 1}`,
			err:   "weight was left as 10, is now 7",
		}, {
			name: "replace of garbage",
			change: func(s *Store) Mutation {
				putNode(t, s, "cp1001", `{"po`)
				return replace(get(t, s, "cp1001"), stored)
			},
			want: `{"po`,
		}, {
			name: "replace of garbage, used since",
			change: func(s *Store) Mutation {
				putNode(t, s, "cp1001", `{"po`)
				return replace(get(t, s, "cp1001"), stored)
			},
			after: func(s *Store) { update(t, s, set(get(t, s, "cp1001"), "weight", 7)) },
			want:  `{"weight": 7, "pooled": "yes", "note": "x"}`,
			err:   "weight was left as 10, is now 7",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := open(t)
			putNode(t, s, "cp1001", stored)
			change := update(t, s, tc.change(s))
			if tc.after != nil {
				tc.after(s)
			}
			done, err := undo(t, s, change.ID)
			switch {
			case tc.err == "" && err != nil, tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err) || !errors.Is(err, ErrConflict)):
				t.Errorf("error %v, want %q", err, tc.err)
			case tc.err == "":
				if parts, err := s.ShowChange(t.Context(), done.ID); err != nil || parts[0].Undoes != change.ID {
					t.Errorf("recorded %+v, %v", parts, err)
				}
			}
			got := ""
			for _, o := range list(t, s).Objects {
				got = string(o.Raw)
			}
			if got != tc.want {
				t.Errorf("stored %s, want %s", got, tc.want)
			}
		})
	}
}

func TestUndoTwiceAndUndoOfAnUndo(t *testing.T) {
	s := open(t)
	putNode(t, s, "cp1001", `{"weight": 10, "pooled": "yes"}`)
	change := update(t, s, set(get(t, s, "cp1001"), "pooled", "no"))
	first, err := undo(t, s, change.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := undo(t, s, change.ID); err == nil || !strings.Contains(err.Error(), "undone already by tester@localhost in change "+first.ID) {
		t.Errorf("second undo: %v", err)
	}
	if _, err := undo(t, s, first.ID); err != nil {
		t.Error(err)
	}
	if got := string(get(t, s, "cp1001").Raw); got != `{"weight": 10, "pooled": "no"}` {
		t.Errorf("stored %s", got)
	}
}

// Somebody changes it while we sit at the prompt: refused as if before it, and
// one object in the way keeps all of them.
func TestUndoLosesTheRace(t *testing.T) {
	s := open(t)
	putNode(t, s, "a", `{"weight": 10, "pooled": "yes"}`)
	putNode(t, s, "b", `{"weight": 10, "pooled": "yes"}`)
	change := update(t, s, set(get(t, s, "a"), "pooled", "no"), set(get(t, s, "b"), "pooled", "no"))
	u, err := s.PlanUndo(t.Context(), types(), change.ID)
	if err != nil {
		t.Fatal(err)
	}
	update(t, s, set(get(t, s, "b"), "pooled", "inactive"))
	if _, err := s.Undo(t.Context(), audit(), u); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "/b: pooled was left as no, is now inactive: changed since by tester") {
		t.Errorf("error %v", err)
	}
	if got := string(get(t, s, "a").Raw); !strings.Contains(got, `"no"`) {
		t.Errorf("a was changed back: %s", got)
	}
}

// Taking back a pool that gave back a weight puts it away again.
func TestUndoOfPoolRemembers(t *testing.T) {
	s := open(t)
	putNode(t, s, "cp1001", `{"weight": 10, "pooled": "no"}`)
	update(t, s, drain(get(t, s, "cp1001")))
	pooled := update(t, s, pool(get(t, s, "cp1001")))
	if _, err := undo(t, s, pooled.ID); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(memories(t, s), `"weight":10`) {
		t.Errorf("remembered %q", memories(t, s))
	}
	update(t, s, pool(get(t, s, "cp1001")))
	if got := string(get(t, s, "cp1001").Raw); got != `{"weight": 10, "pooled": "yes"}` {
		t.Errorf("stored %s", got)
	}
}

// The newest change of a long history is found without reading it all.
func TestHistoryReadsLittle(t *testing.T) {
	s := open(t)
	now := time.Now()
	var ops []clientv3.Op
	for i := range 3000 {
		r := Recorded{ID: idTime(now.Add(-time.Duration(i+200)*time.Hour)) + "-a", Audit: audit()}
		ops = append(ops, clientv3.OpPut(s.own("changes")+r.key(), r.encode()))
		if len(ops) == 100 {
			if _, err := s.client.Txn(t.Context()).Then(ops...).Commit(); err != nil {
				t.Fatal(err)
			}
			ops = nil
		}
	}
	requests := 0
	s.client.KV = countingKV{s.client.KV, &requests}
	got, err := s.History(t.Context(), HistoryQuery{Limit: 20})
	if err != nil || len(got) != 20 {
		t.Fatalf("%d records, %v", len(got), err)
	}
	if requests > 10 {
		t.Errorf("%d requests", requests)
	}
}
