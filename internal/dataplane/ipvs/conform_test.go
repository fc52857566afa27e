package ipvs

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"syscall"
	"testing"

	"github.com/cloudflare/ipvs"
	"github.com/cloudflare/ipvs/netmask"

	"github.com/sluice-lb/sluice/internal/dataplane"
	"github.com/sluice-lb/sluice/internal/dataplane/planetest"
)

// The bodies of this file run against the fake here and against the kernel in
// kernel_linux_test.go.

func TestFake(t *testing.T) {
	open := func(*testing.T) *Plane { return &Plane{kernel: newFake().kernel()} }
	t.Run("conformance", func(t *testing.T) { conformance(t, open) })
	t.Run("errnos", func(t *testing.T) { errnos(t, open(t)) })
	t.Run("mixed families", func(t *testing.T) { mixedFamilies(t, open(t)) })
	t.Run("a new process adopts", func(t *testing.T) { p := open(t); adopts(t, p, p) })
}

func v4(net byte) func(int) netip.AddrPort {
	return func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, net, 0, byte(i + 1)}), 80+uint16(i))
	}
}

func v6(net byte) func(int) netip.AddrPort {
	return func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, net, 15: byte(i + 1)}), 80+uint16(i))
	}
}

func conformance(t *testing.T, open func(*testing.T) *Plane) {
	plane := func(t *testing.T) dataplane.Plane { return open(t) }
	t.Run("v4", func(t *testing.T) { planetest.Run(t, plane, v4(1), v4(2)) })
	t.Run("v6", func(t *testing.T) { planetest.Run(t, plane, v6(1), v6(2)) })
}

// errnos checks what the kernel answers to changes that do not fit its table.
func errnos(t *testing.T, p *Plane) {
	k := p.kernel
	service := ipvs.Service{
		Address: netip.MustParseAddr("192.0.2.1"), Port: 80, Protocol: ipvs.TCP, Family: ipvs.INET,
		Netmask: netmask.MaskFrom(32, 32), Scheduler: "wrr",
	}
	noMask, noScheduler, other := service, service, service
	noMask.Netmask, noScheduler.Scheduler, other.Port = netmask.Mask{}, "nonesuch", 81
	real := ipvs.Destination{
		Address: netip.MustParseAddr("10.0.0.1"), Port: 80, Family: ipvs.INET, FwdMethod: ipvs.DirectRoute,
	}
	multicast, v6 := real, real
	multicast.Address = netip.MustParseAddr("224.0.0.1")
	v6.Address, v6.Family = netip.MustParseAddr("2001:db8::1"), ipvs.INET6

	for _, step := range []struct {
		name string
		err  error
		want error
	}{
		{"create without mask", k.createService(noMask), syscall.EINVAL},
		{"create without scheduler", k.createService(noScheduler), syscall.ENOENT},
		{"update absent", k.updateService(service), syscall.ESRCH},
		{"remove absent", k.removeService(service), syscall.ESRCH},
		{"create", k.createService(service), nil},
		{"create again", k.createService(service), syscall.EEXIST},
		{"create real of absent", k.createDestination(other, real), syscall.ESRCH},
		{"update real of absent", k.updateDestination(other, real), syscall.ESRCH},
		{"remove real of absent", k.removeDestination(other, real), syscall.ESRCH},
		{"update absent real", k.updateDestination(service, real), syscall.ENOENT},
		{"remove absent real", k.removeDestination(service, real), syscall.ENOENT},
		{"create real", k.createDestination(service, real), nil},
		{"create real again", k.createDestination(service, real), syscall.EEXIST},
		{"create multicast real", k.createDestination(service, multicast), syscall.EINVAL},
		{"create real of other family", k.createDestination(service, v6), syscall.EINVAL},
	} {
		if !errors.Is(step.err, step.want) {
			t.Errorf("%s: %v, want %v", step.name, step.err, step.want)
		}
	}
}

// mixedFamilies checks that real servers may be of the other family behind a
// tunnel, and all three protocols.
func mixedFamilies(t *testing.T, p *Plane) {
	var services []dataplane.Service
	for _, protocol := range []dataplane.Protocol{dataplane.TCP, dataplane.UDP, dataplane.SCTP} {
		for _, vip := range []netip.AddrPort{v4(1)(0), v6(1)(0)} {
			services = append(services, dataplane.Service{
				ID:        dataplane.ServiceID{Protocol: protocol, VIP: vip},
				Scheduler: "wlc",
				Destinations: []dataplane.Destination{
					{Addr: v4(2)(0), Weight: 0, Forward: dataplane.Tunnel},
					{Addr: v6(2)(0), Weight: 65535, Forward: dataplane.Tunnel},
				},
			})
		}
	}
	bring(t, p, dataplane.NewTable(services...))
}

// adopts checks that what the first plane applied, the second has no need to
// touch: the reconciler of a new process adopts the table it finds.
func adopts(t *testing.T, first, second *Plane) {
	want := dataplane.NewTable(
		dataplane.Service{
			ID:        dataplane.ServiceID{Protocol: dataplane.UDP, VIP: v6(1)(0)},
			Scheduler: "rr", OnePacket: true,
			Destinations: []dataplane.Destination{
				{Addr: v6(2)(1), Weight: 0, Forward: dataplane.Direct},
				{Addr: v6(2)(0), Weight: 3, Forward: dataplane.Masquerade},
			},
		},
		dataplane.Service{ID: dataplane.ServiceID{Protocol: dataplane.TCP, VIP: v4(1)(0)}, Scheduler: "sh"},
	)
	bring(t, first, want)

	for name, wanted := range map[string]dataplane.Wanted{
		"all is wanted":    {Version: 1, Table: want},
		"nothing is heard": {Version: 1, Hold: []dataplane.ServiceID{want[0].ID, want[1].ID}},
		"half is heard":    {Version: 1, Table: want[:1], Hold: []dataplane.ServiceID{want[1].ID}},
	} {
		result, ops := reconcile(t, second, wanted)
		if result.Err != nil || !result.Table.Equal(want) || len(result.Strays) > 0 {
			t.Errorf("%s: result is %+v, want the table as it is", name, result)
		}
		if len(ops) > 0 {
			t.Errorf("%s: the second plane was told to %v", name, ops)
		}
	}

	result, ops := reconcile(t, second, dataplane.Wanted{Version: 1, Table: want[:1]})
	if len(result.Strays) != 1 || result.Strays[0] != want[1].ID || len(ops) > 0 {
		t.Errorf("result is %+v after %v, want a stray left alone", result, ops)
	}
	if got := read(t, first); !got.Equal(want) {
		t.Errorf("table is %v, want %v", got, want)
	}
}

// reconcile has a new reconciler bring the plane to what is wanted, as a new
// process would.
func reconcile(t *testing.T, p *Plane, wanted dataplane.Wanted) (dataplane.Result, dataplane.Plan) {
	t.Helper()
	recorded := &recorder{Plane: p}
	r := dataplane.NewReconciler(recorded, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.Set(wanted)
	result := <-r.Results()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	return result, recorded.ops
}

// recorder remembers what the plane was told to do.
type recorder struct {
	*Plane
	ops dataplane.Plan
}

func (r *recorder) Apply(ctx context.Context, plan dataplane.Plan) error {
	r.ops = append(r.ops, plan...)
	return r.Plane.Apply(ctx, plan)
}

// bring takes the plane to the table and checks that it holds it.
func bring(t *testing.T, p *Plane, want dataplane.Table) {
	t.Helper()
	plan, _ := dataplane.Diff(read(t, p), want, nil, func(dataplane.ServiceID) bool { return true })
	if err := p.Apply(context.Background(), plan); err != nil {
		t.Fatalf("Apply: %v", err)
	}
	if got := read(t, p); !got.Equal(want) {
		t.Fatalf("table is %v, want %v", got, want)
	}
}

func read(t *testing.T, p *Plane) dataplane.Table {
	t.Helper()
	table, err := p.Read(context.Background())
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	return table
}
