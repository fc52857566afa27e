package cli

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-lb/sluice/pkg/lbverify"
	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// What a mutation does to its pool depends on where the object stood and where
// it will stand, not on which fields are named.
func TestShifts(t *testing.T) {
	node := objects.Node()
	key, err := node.ParseKey("eqiad/web/https/cp1")
	if err != nil {
		t.Fatal(err)
	}
	pooled := func(v string) objects.Setting { return objects.Setting{Field: "pooled", Value: v} }
	weight := func(n int) objects.Setting { return objects.Setting{Field: "weight", Value: n} }
	leaves, goes, comes := lbverify.Shift{Leaving: []string{"cp1"}}, lbverify.Shift{Gone: []string{"cp1"}}, lbverify.Shift{Coming: []string{"cp1"}}
	for _, c := range []struct {
		name string
		raw  string
		verb state.Verb
		set  []objects.Setting
		want *lbverify.Shift
	}{
		{"depool", `{"pooled": "yes", "weight": 10}`, state.Patch, []objects.Setting{pooled("no")}, &leaves},
		{"drain", `{"pooled": "yes", "weight": 10}`, state.Patch, []objects.Setting{weight(0)}, &leaves},
		{"depool what is drained", `{"pooled": "yes", "weight": 0}`, state.Patch, []objects.Setting{pooled("no")}, &leaves},
		{"drain what is depooled", `{"pooled": "no", "weight": 10}`, state.Patch, []objects.Setting{weight(0)}, nil},
		{"depool again", `{"pooled": "no", "weight": 10}`, state.Patch, []objects.Setting{pooled("no")}, nil},
		{"decommission", `{"pooled": "yes", "weight": 10}`, state.Patch, []objects.Setting{pooled("inactive")}, &goes},
		{"decommission what is depooled", `{"pooled": "no", "weight": 10}`, state.Patch, []objects.Setting{pooled("inactive")}, &goes},
		{"inactive to no", `{"pooled": "inactive", "weight": 10}`, state.Patch, []objects.Setting{pooled("no")}, &lbverify.Shift{}},
		{"pool", `{"pooled": "no", "weight": 10}`, state.Patch, []objects.Setting{pooled("yes")}, &comes},
		{"pool without weight", `{"pooled": "no", "weight": 0}`, state.Patch, []objects.Setting{pooled("yes")}, &lbverify.Shift{}},
		{"give weight", `{"pooled": "yes", "weight": 0}`, state.Patch, []objects.Setting{weight(5)}, &comes},
		{"more weight", `{"pooled": "yes", "weight": 1}`, state.Patch, []objects.Setting{weight(5)}, nil},
		{"delete", `{"pooled": "yes", "weight": 10}`, state.Delete, nil, &goes},
		{"delete what cannot be read", `{"pooled": `, state.Delete, nil, &goes},
		{"delete what is inactive", `{"pooled": "inactive"}`, state.Delete, nil, nil},
		{"set what cannot be read", `{"pooled": `, state.Patch, []objects.Setting{pooled("no")}, nil},
		{"create", "", state.Create, []objects.Setting{pooled("yes"), weight(1)}, &comes},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := state.Mutation{Verb: c.verb, Set: c.set, Object: objects.Object{Type: node, Key: key}}
			if c.raw != "" {
				m.Object.Raw, m.Object.Revision = []byte(c.raw), 7
			}
			s := session{store: new(state.Store)}
			var want []poolShift
			if c.want != nil {
				want = []poolShift{{"//pools/eqiad/web/https/", *c.want}}
			}
			if diff := cmp.Diff(want, s.shifts([]state.Mutation{m}), cmp.AllowUnexported(poolShift{})); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// A value that replaces all is judged as a whole.
func TestShiftsOfReplacedObjects(t *testing.T) {
	node := objects.Node()
	key := objects.Key{Tags: "eqiad/web/https", Name: "cp1"}
	for _, c := range []struct {
		before, after string
		want          *lbverify.Shift
	}{
		{"", `{"pooled": "yes", "weight": 1}`, &lbverify.Shift{Coming: []string{"cp1"}}},
		{"", `{"pooled": "inactive", "weight": 1}`, nil},
		{`{"pooled": "yes", "weight": 1}`, `{"weight": 1}`, &lbverify.Shift{Gone: []string{"cp1"}}},
		{`{"pooled": "yes", "weight": 1}`, `{"pooled": "no", "weight": 1}`, &lbverify.Shift{Leaving: []string{"cp1"}}},
	} {
		m := state.Mutation{Verb: state.Replace, Raw: []byte(c.after), Object: objects.Object{Type: node, Key: key}}
		if c.before != "" {
			m.Object.Raw, m.Object.Revision = []byte(c.before), 7
		}
		s := session{store: new(state.Store)}
		var want []poolShift
		if c.want != nil {
			want = []poolShift{{"//pools/eqiad/web/https/", *c.want}}
		}
		if diff := cmp.Diff(want, s.shifts([]state.Mutation{m}), cmp.AllowUnexported(poolShift{})); diff != "" {
			t.Errorf("%q to %q: -want +got\n%s", c.before, c.after, diff)
		}
	}
}

// Objects of other types than node are served by nobody.
func TestShiftsKnowNodesOnly(t *testing.T) {
	discovery := &objects.Type{Name: "discovery", Path: "discovery", Tags: []string{"dnsdisc"}, Fields: []objects.Field{{Name: "pooled", Kind: objects.Bool, Default: false}}}
	key, err := discovery.ParseKey("web/eqiad")
	if err != nil {
		t.Fatal(err)
	}
	s := session{store: new(state.Store)}
	m := state.Mutation{Set: []objects.Setting{{Field: "pooled", Value: false}}, Object: objects.Object{Type: discovery, Key: key, Raw: []byte(`{"pooled": true}`), Revision: 3}}
	if got := s.shifts([]state.Mutation{m}); got != nil {
		t.Errorf("got %v", got)
	}
}
