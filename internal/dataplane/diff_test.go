package dataplane_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/sluice-lb/sluice/internal/dataplane"
	"github.com/sluice-lb/sluice/internal/dataplane/planetest"
)

func drawTable(t *rapid.T) dataplane.Table {
	return dataplane.NewTable(planetest.Services(t, vip, backend)...)
}

func everything(dataplane.ServiceID) bool { return true }

func equateAddrs() cmp.Option { return cmpopts.EquateComparable(netip.AddrPort{}) }

func tcp(i int, weights ...int) dataplane.Service {
	s := dataplane.Service{ID: dataplane.ServiceID{Protocol: dataplane.TCP, VIP: vip(i)}, Scheduler: "wrr"}
	for j, w := range weights {
		s.Destinations = append(s.Destinations, dataplane.Destination{Addr: backend(j), Weight: w, Forward: dataplane.Direct})
	}
	return s
}

func lines(plan dataplane.Plan) []string {
	var out []string
	for _, op := range plan {
		out = append(out, op.String())
	}
	return out
}

func TestOpString(t *testing.T) {
	v4 := dataplane.Service{ID: dataplane.ServiceID{Protocol: dataplane.TCP, VIP: vip(0)}, Scheduler: "wrr"}
	v6 := dataplane.Service{ID: dataplane.ServiceID{Protocol: dataplane.UDP, VIP: vip(1)}, Scheduler: "sh", OnePacket: true}
	sctp := dataplane.Service{ID: dataplane.ServiceID{Protocol: dataplane.SCTP, VIP: vip(0)}, Scheduler: "rr"}
	d4 := dataplane.Destination{Addr: backend(1), Weight: 10, Forward: dataplane.Direct}
	d6 := dataplane.Destination{Addr: vip(3), Weight: 0, Forward: dataplane.Tunnel}
	masq := dataplane.Destination{Addr: backend(2), Weight: 1, Forward: dataplane.Masquerade}
	for _, test := range []struct {
		op   dataplane.Op
		want string
	}{
		{dataplane.Op{Verb: dataplane.AddService, Service: v4}, "-A -t 192.0.2.0:80 -s wrr"},
		{dataplane.Op{Verb: dataplane.AddService, Service: v6}, "-A -u [fd00::1]:80 -s sh -o"},
		{dataplane.Op{Verb: dataplane.EditService, Service: sctp}, "-E --sctp-service 192.0.2.0:80 -s rr"},
		{dataplane.Op{Verb: dataplane.AddDestination, Service: v4, Destination: d4}, "-a -t 192.0.2.0:80 -r 10.0.0.1:8080 -w 10"},
		{dataplane.Op{Verb: dataplane.AddDestination, Service: v6, Destination: d6}, "-a -u [fd00::1]:80 -r [fd00::3]:80 -w 0 -i"},
		{dataplane.Op{Verb: dataplane.EditDestination, Service: v4, Destination: masq}, "-e -t 192.0.2.0:80 -r 10.0.0.2:8080 -w 1 -m"},
		{dataplane.Op{Verb: dataplane.RemoveDestination, Service: v4, Destination: masq}, "-d -t 192.0.2.0:80 -r 10.0.0.2:8080"},
		{dataplane.Op{Verb: dataplane.RemoveService, Service: v6}, "-D -u [fd00::1]:80"},
		{dataplane.Op{Verb: 99, Service: v4}, "invalid verb 99 of tcp 192.0.2.0:80"},
	} {
		if got := test.op.String(); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

func TestOpDescribe(t *testing.T) {
	s := tcp(1, 1)
	for verb, want := range map[dataplane.Verb]string{
		dataplane.AddService:        "add service tcp [fd00::1]:80",
		dataplane.EditService:       "edit service tcp [fd00::1]:80",
		dataplane.RemoveService:     "remove service tcp [fd00::1]:80",
		dataplane.AddDestination:    "add destination 10.0.0.0:8080 of tcp [fd00::1]:80",
		dataplane.EditDestination:   "edit destination 10.0.0.0:8080 of tcp [fd00::1]:80",
		dataplane.RemoveDestination: "remove destination 10.0.0.0:8080 of tcp [fd00::1]:80",
		99:                          "invalid verb 99 of tcp [fd00::1]:80",
	} {
		if got := (dataplane.Op{Verb: verb, Service: s, Destination: s.Destinations[0]}).Describe(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestDiff(t *testing.T) {
	ids := func(services ...dataplane.Service) (out []dataplane.ServiceID) {
		for _, s := range services {
			out = append(out, s.ID)
		}
		return out
	}
	rr := tcp(0, 5, 5)
	rr.Scheduler = "rr"
	for _, test := range []struct {
		name       string
		have, want []dataplane.Service
		hold       []dataplane.ServiceID
		owned      func(dataplane.ServiceID) bool
		plan       []string
		strays     []dataplane.ServiceID
	}{
		{
			name: "adds before edits before removals",
			have: []dataplane.Service{tcp(0, 5, 5, 5), tcp(2, 1)},
			want: []dataplane.Service{tcp(0, 2, 9), tcp(4, 1)}, owned: everything,
			plan: []string{
				"-A -t 192.0.2.4:80 -s wrr",
				"-a -t 192.0.2.4:80 -r 10.0.0.0:8080 -w 1",
				"-e -t 192.0.2.0:80 -r 10.0.0.1:8080 -w 9",
				"-e -t 192.0.2.0:80 -r 10.0.0.0:8080 -w 2",
				"-d -t 192.0.2.0:80 -r 10.0.0.2:8080",
				"-D -t 192.0.2.2:80",
			},
		},
		{
			name: "settings",
			have: []dataplane.Service{tcp(0, 5, 5)}, want: []dataplane.Service{rr},
			plan: []string{"-E -t 192.0.2.0:80 -s rr"},
		},
		{
			name: "what nobody owns is a stray",
			have: []dataplane.Service{tcp(0, 1), tcp(2, 1)}, want: []dataplane.Service{tcp(0, 1)},
			strays: ids(tcp(2)),
		},
		{
			name: "held services stay, wanted or not, there or not, and are no strays",
			have: []dataplane.Service{tcp(0, 1), tcp(2, 1)}, want: []dataplane.Service{tcp(0, 7), tcp(4, 1)},
			hold: ids(tcp(0), tcp(2), tcp(4)), owned: everything,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			plan, strays := dataplane.Diff(dataplane.NewTable(test.have...), dataplane.NewTable(test.want...), test.hold, test.owned)
			if diff := cmp.Diff(test.plan, lines(plan)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.strays, strays, equateAddrs()); diff != "" {
				t.Errorf("strays (-want +got):\n%s", diff)
			}
		})
	}
}

// Every service is owned: the plan leads from any table to any other, adds
// first, removes last, and takes away on its way nothing that stays.
func TestDiffLeadsThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		have, want := drawTable(t), drawTable(t)
		plan, strays := dataplane.Diff(have, want, nil, everything)
		if len(strays) != 0 {
			t.Fatalf("strays: %v", strays)
		}
		if !slices.IsSortedFunc(plan, func(a, b dataplane.Op) int { return stage(a) - stage(b) }) {
			t.Fatalf("out of order: %q", lines(plan))
		}
		now := have
		for _, op := range plan {
			next, err := now.Apply(dataplane.Plan{op})
			if err != nil {
				t.Fatal(err)
			}
			now = next
			checkNothingMissing(t, have, now, want)
		}
		if diff := cmp.Diff(want, now, equateAddrs(), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("after the plan (-want +got):\n%s", diff)
		}
		if again, _ := dataplane.Diff(now, want, nil, everything); len(again) != 0 {
			t.Fatalf("plan between equal tables: %q", lines(again))
		}
	})
}

func stage(op dataplane.Op) int {
	switch op.Verb {
	case dataplane.AddService, dataplane.AddDestination:
		return 0
	case dataplane.EditService, dataplane.EditDestination:
		return 1
	}
	return 2
}

func checkNothingMissing(t *rapid.T, have, now, want dataplane.Table) {
	for _, old := range have {
		new, ok := want.Find(old.ID)
		if !ok {
			continue
		}
		at, _ := now.Find(old.ID)
		for _, d := range old.Destinations {
			if hasAddr(new, d.Addr) && !hasAddr(at, d.Addr) {
				t.Fatalf("%s of %s is away for a moment", d.Addr, old.ID)
			}
		}
		if serves(old) && serves(new) && !serves(at) {
			t.Fatalf("%s serves nobody for a moment", old.ID)
		}
	}
}

func hasAddr(s dataplane.Service, addr netip.AddrPort) bool {
	return slices.ContainsFunc(s.Destinations, func(d dataplane.Destination) bool { return d.Addr == addr })
}

func serves(s dataplane.Service) bool {
	return slices.ContainsFunc(s.Destinations, func(d dataplane.Destination) bool { return d.Weight > 0 })
}

// Whatever is held or not owned is the same before and after.
func TestDiffTouchesOnlyItsOwn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		have, want := drawTable(t), drawTable(t)
		pick := func(label string) (ids []dataplane.ServiceID) {
			for _, s := range have {
				if rapid.Bool().Draw(t, label) {
					ids = append(ids, s.ID)
				}
			}
			return ids
		}
		hold, own := pick("hold"), pick("own")
		owned := func(id dataplane.ServiceID) bool { return slices.Contains(own, id) }
		plan, strays := dataplane.Diff(have, want, hold, owned)
		after, err := have.Apply(plan)
		if err != nil {
			t.Fatal(err)
		}
		for _, old := range have {
			_, wanted := want.Find(old.ID)
			held := slices.Contains(hold, old.ID)
			stray := !wanted && !held && !owned(old.ID)
			if slices.Contains(strays, old.ID) != stray {
				t.Fatalf("%s: stray is %v, want %v", old.ID, !stray, stray)
			}
			if new, ok := after.Find(old.ID); (held || stray) && !(ok && new.Equal(old)) {
				t.Fatalf("%s was touched", old.ID)
			}
		}
	})
}

// Apply leaves its receiver alone, though tables share their parts.
func TestApplyIsPure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		have, want := drawTable(t), drawTable(t)
		before := dataplane.NewTable(have...)
		plan, _ := dataplane.Diff(have, want, nil, everything)
		if _, err := have.Apply(plan); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, have, equateAddrs(), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("table changed (-before +after):\n%s", diff)
		}
	})
}

func TestNewTableKeepsDuplicatesOnce(t *testing.T) {
	d := func(weight int) dataplane.Destination {
		return dataplane.Destination{Addr: backend(1), Weight: weight}
	}
	first, second := tcp(0), tcp(0)
	first.Destinations = []dataplane.Destination{d(1), d(2)}
	second.Scheduler = "rr"
	want := tcp(0)
	want.Destinations = []dataplane.Destination{{Addr: backend(1), Weight: 1, Forward: dataplane.Direct}}
	if diff := cmp.Diff(dataplane.Table{want}, dataplane.NewTable(first, second), equateAddrs()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}
