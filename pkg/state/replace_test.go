package state

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-lb/sluice/pkg/objects"
)

func replace(o objects.Object, raw string) Mutation {
	return Mutation{Verb: Replace, Object: o, Raw: []byte(raw)}
}

// fresh is a node that is not there yet.
func fresh(host string) objects.Object {
	return objects.Object{Type: objects.Node(), Key: objects.Key{Tags: httpsPool, Name: host}}
}

// What Replace stores is there byte for byte; what others made of the object
// since stays, unless it is the same.
func TestReplace(t *testing.T) {
	const was, wish = `{"weight": 10, "pooled": "yes"}`, `{ "pooled":"no","x":1.50 }`
	for _, tc := range []struct {
		name, before, theirs, want string
		err                        error
	}{
		{"not there", "", "", wish, nil},
		{"not there, made meanwhile", "", was, was, ErrConflict},
		{"not there, made the same meanwhile", "", wish, wish, nil},
		{"there", was, "", wish, nil},
		{"garbage", `{"po`, "", wish, nil},
		{"as wanted", wish, "", wish, nil},
		{"any field changed meanwhile", was, `{"weight": 11, "pooled": "yes"}`, `{"weight": 11, "pooled": "yes"}`, ErrConflict},
		{"changed to the same meanwhile", was, wish, wish, nil},
		{"deleted meanwhile", was, "-", "", ErrNotFound},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := open(t)
			o := fresh("cp1001")
			if tc.before != "" {
				putNode(t, s, "cp1001", tc.before)
				o = get(t, s, "cp1001")
			}
			switch tc.theirs {
			case "":
			case "-":
				if _, err := s.client.Delete(t.Context(), nodeKey("cp1001")); err != nil {
					t.Fatal(err)
				}
			default:
				putNode(t, s, "cp1001", tc.theirs)
			}
			change, err := s.Update(t.Context(), audit(), []Mutation{replace(o, wish)})
			if !errors.Is(err, tc.err) {
				t.Fatalf("error %v, want %v", err, tc.err)
			}
			got := ""
			for _, o := range list(t, s).Objects {
				got = string(o.Raw)
			}
			if got != tc.want {
				t.Errorf("stored %s, want %s", got, tc.want)
			}
			if err == nil && change.Objects[0].Changed == (tc.before == wish || tc.theirs == wish) {
				t.Errorf("outcome %+v", change.Objects[0])
			}
		})
	}
}

// A value that replaces all ends the memory of a drained weight.
func TestReplaceEndsTheMemory(t *testing.T) {
	s := open(t)
	putNode(t, s, "cp1001", `{"weight": 10, "pooled": "yes"}`)
	update(t, s, drain(get(t, s, "cp1001")))
	change := update(t, s, replace(get(t, s, "cp1001"), `{"weight": 3, "pooled": "no"}`))
	if got := memories(t, s); got != "" {
		t.Errorf("still remembered: %s", got)
	}
	if diffs := fmt.Sprint(change.Objects[0].Diffs); diffs != "[weight changed 0 => 3 pooled changed yes => no]" {
		t.Errorf("differences %s", diffs)
	}
}

// Objects of some size would not fit one request by their number alone.
func TestLargeObjectsAreSpreadOverTransactions(t *testing.T) {
	s := open(t)
	raw := `{"val": "` + strings.Repeat("x", 50_000) + `"}`
	var muts []Mutation
	for i := range 100 {
		muts = append(muts, replace(fresh(fmt.Sprintf("db%03d", i)), raw))
	}
	change := update(t, s, muts...)
	if n := len(list(t, s).Objects); n != 100 || len(change.Objects) != 100 {
		t.Errorf("%d objects stored, %d told of", n, len(change.Objects))
	}
	parts, err := s.ShowChange(t.Context(), change.ID)
	if err != nil || len(parts) != parts[0].Of || len(parts) < 10 {
		t.Errorf("%d parts of %d, %v", len(parts), parts[0].Of, err)
	}
	huge := replace(fresh("huge"), `{"val": "`+strings.Repeat("x", 2<<20)+`"}`)
	done, err := s.Update(t.Context(), audit(), []Mutation{replace(fresh("small"), `{}`), huge})
	if !errors.Is(err, ErrPartial) || !strings.Contains(err.Error(), "larger than max") || len(done.Objects) != 1 {
		t.Errorf("%d objects done, %v", len(done.Objects), err)
	}
}
