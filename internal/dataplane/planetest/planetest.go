// Package planetest checks that a forwarding plane keeps the contract of
// dataplane.Plane: the same test body for the simulated planes and the real.
package planetest

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/sluice-lb/sluice/internal/dataplane"
)

// VIPs and Reals are how many different addresses Run asks vip and real for:
// i goes from 0 to VIPs-1 or Reals-1.
const (
	VIPs  = 6
	Reals = 8
)

// Run checks the planes that open returns. Each must be empty when it is opened,
// and is torn down by t.Cleanup. vip and real return addresses the plane can
// use, always the same for the same i; every vip is used with TCP and UDP.
// Services are scheduled rr or wrr.
func Run(t *testing.T, open func(t *testing.T) dataplane.Plane, vip, real func(i int) netip.AddrPort) {
	f := &fixture{vip: vip, real: real}
	for _, test := range []struct {
		name string
		run  func(*testing.T, *fixture)
	}{
		{"empty at first", emptyAtFirst},
		{"holds what was applied", holdsWhatWasApplied},
		{"adding again sets", addingAgainSets},
		{"edits", edits},
		{"removing again is no error", removingAgain},
		{"service goes with its destinations", serviceGoes},
		{"failed op stops nothing", failedOpStopsNothing},
		{"any table after any other", anyTable},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := *f
			f.plane = open(t)
			test.run(t, &f)
		})
	}
}

type fixture struct {
	plane     dataplane.Plane
	vip, real func(i int) netip.AddrPort
}

// tb is what testing.T and rapid.T share.
type tb interface {
	Helper()
	Fatalf(format string, args ...any)
}

func (f *fixture) service(p dataplane.Protocol, i int, dests ...dataplane.Destination) dataplane.Service {
	return dataplane.Service{
		ID:           dataplane.ServiceID{Protocol: p, VIP: f.vip(i)},
		Scheduler:    "wrr",
		Destinations: dests,
	}
}

func (f *fixture) dest(i, weight int) dataplane.Destination {
	return dataplane.Destination{Addr: f.real(i), Weight: weight, Forward: dataplane.Masquerade}
}

func (f *fixture) apply(t tb, plan ...dataplane.Op) {
	t.Helper()
	if err := f.plane.Apply(context.Background(), plan); err != nil {
		t.Fatalf("Apply: %v", err)
	}
}

func (f *fixture) read(t tb) dataplane.Table {
	t.Helper()
	table, err := f.plane.Read(context.Background())
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	return table
}

func (f *fixture) holds(t tb, services ...dataplane.Service) {
	t.Helper()
	want := dataplane.NewTable(services...)
	if diff := cmp.Diff(want, f.read(t), options()...); diff != "" {
		t.Fatalf("table (-want +got):\n%s", diff)
	}
}

// bring takes the plane to the table by the plan Diff makes.
func (f *fixture) bring(t tb, services ...dataplane.Service) {
	t.Helper()
	plan, _ := dataplane.Diff(f.read(t), dataplane.NewTable(services...), nil, func(dataplane.ServiceID) bool { return true })
	f.apply(t, plan...)
	f.holds(t, services...)
}

func options() []cmp.Option {
	return []cmp.Option{cmpopts.EquateComparable(netip.AddrPort{}), cmpopts.EquateEmpty()}
}

func emptyAtFirst(t *testing.T, f *fixture) {
	f.holds(t)
	f.apply(t)
	f.holds(t)
}

func holdsWhatWasApplied(t *testing.T, f *fixture) {
	f.bring(t,
		f.service(dataplane.TCP, 0, f.dest(0, 1), f.dest(1, 100), f.dest(2, 0)),
		f.service(dataplane.UDP, 0, f.dest(0, 10)),
		f.service(dataplane.TCP, 1),
	)
}

func addingAgainSets(t *testing.T, f *fixture) {
	s := f.service(dataplane.TCP, 0, f.dest(0, 1), f.dest(1, 2))
	f.bring(t, s)
	settings := s
	settings.Destinations = nil
	f.apply(t,
		dataplane.Op{Verb: dataplane.AddService, Service: settings},
		dataplane.Op{Verb: dataplane.AddDestination, Service: settings, Destination: f.dest(0, 1)},
	)
	f.holds(t, s)

	settings.Scheduler = "rr"
	changed := f.dest(1, 7)
	changed.Forward = dataplane.Direct
	f.apply(t,
		dataplane.Op{Verb: dataplane.AddService, Service: settings},
		dataplane.Op{Verb: dataplane.AddDestination, Service: settings, Destination: changed},
	)
	settings.Destinations = []dataplane.Destination{f.dest(0, 1), changed}
	f.holds(t, settings)
}

func edits(t *testing.T, f *fixture) {
	s := f.service(dataplane.UDP, 2, f.dest(0, 1), f.dest(1, 2), f.dest(2, 3))
	other := f.service(dataplane.TCP, 2, f.dest(0, 1))
	f.bring(t, s, other)
	s.Scheduler = "rr"
	s.OnePacket = true
	f.bring(t, s, other)
	s.Destinations = []dataplane.Destination{f.dest(0, 0), f.dest(1, 2000), f.dest(2, 3)}
	s.Destinations[2].Forward = dataplane.Tunnel
	f.bring(t, s, other)
	s.OnePacket = false
	f.bring(t, s, other)
}

func removingAgain(t *testing.T, f *fixture) {
	s := f.service(dataplane.TCP, 3, f.dest(0, 1), f.dest(1, 1))
	f.bring(t, s)
	gone := dataplane.Op{Verb: dataplane.RemoveDestination, Service: s, Destination: f.dest(1, 1)}
	f.apply(t, gone)
	f.apply(t, gone, gone)
	s.Destinations = s.Destinations[:1]
	f.holds(t, s)

	all := dataplane.Op{Verb: dataplane.RemoveService, Service: s}
	f.apply(t, all)
	f.apply(t, all, all, gone)
	f.holds(t)
}

func serviceGoes(t *testing.T, f *fixture) {
	s := f.service(dataplane.TCP, 4, f.dest(0, 1), f.dest(1, 1))
	f.bring(t, s)
	f.apply(t, dataplane.Op{Verb: dataplane.RemoveService, Service: s})
	f.holds(t)
	f.apply(t, dataplane.Op{Verb: dataplane.AddService, Service: s})
	s.Destinations = nil
	f.holds(t, s)
}

func failedOpStopsNothing(t *testing.T, f *fixture) {
	s := f.service(dataplane.TCP, 0, f.dest(0, 1))
	absent := f.service(dataplane.TCP, 5)
	err := f.plane.Apply(context.Background(), dataplane.Plan{
		{Verb: dataplane.AddService, Service: s},
		{Verb: dataplane.AddDestination, Service: absent, Destination: f.dest(3, 1)},
		{Verb: dataplane.AddDestination, Service: s, Destination: f.dest(0, 1)},
	})
	if err == nil {
		t.Fatal("Apply: no error for a destination of a service that is not there")
	}
	for _, name := range []string{f.vip(5).String(), f.real(3).String()} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("Apply: error does not name %s: %v", name, err)
		}
	}
	f.holds(t, s)
}

func anyTable(t *testing.T, f *fixture) {
	rapid.Check(t, func(t *rapid.T) {
		f.bring(t, Services(t, f.vip, f.real)...)
	})
}

// Services draws the services of a random table over the addresses of vip and
// real, none of them twice.
func Services(t *rapid.T, vip, real func(i int) netip.AddrPort) []dataplane.Service {
	var services []dataplane.Service
	for i := range VIPs {
		for _, p := range []dataplane.Protocol{dataplane.TCP, dataplane.UDP} {
			if rapid.Bool().Draw(t, "present") {
				services = append(services, service(t, p, vip(i), real))
			}
		}
	}
	return services
}

func service(t *rapid.T, p dataplane.Protocol, vip netip.AddrPort, real func(i int) netip.AddrPort) dataplane.Service {
	s := dataplane.Service{
		ID:        dataplane.ServiceID{Protocol: p, VIP: vip},
		Scheduler: rapid.SampledFrom([]string{"rr", "wrr"}).Draw(t, "scheduler"),
		OnePacket: p == dataplane.UDP && rapid.Bool().Draw(t, "one packet"),
	}
	forwards := []dataplane.Forward{dataplane.Direct, dataplane.Tunnel, dataplane.Masquerade}
	for i := range Reals {
		if rapid.Bool().Draw(t, "listed") {
			s.Destinations = append(s.Destinations, dataplane.Destination{
				Addr:    real(i),
				Weight:  rapid.IntRange(0, 3).Draw(t, "weight"),
				Forward: rapid.SampledFrom(forwards).Draw(t, "forward"),
			})
		}
	}
	return s
}
