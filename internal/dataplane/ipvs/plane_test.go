package ipvs

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/cloudflare/ipvs"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluice-lb/sluice/internal/dataplane"
)

var (
	web     = dataplane.Service{ID: dataplane.ServiceID{Protocol: dataplane.TCP, VIP: netip.MustParseAddrPort("192.0.2.1:80")}, Scheduler: "wrr"}
	backend = dataplane.Destination{Addr: netip.MustParseAddrPort("10.0.0.1:80"), Weight: 1, Forward: dataplane.Direct}
)

func TestReadErrorIsNotEmptiness(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EPERM, syscall.ENOENT, syscall.ENOBUFS} {
		f := newFake()
		p := &Plane{kernel: f.kernel()}
		p.kernel.services = func() ([]ipvs.ServiceExtended, error) { return nil, errno }
		if table, err := p.Read(context.Background()); !errors.Is(err, errno) || table != nil {
			t.Errorf("services give %v: Read is %v, %v", errno, table, err)
		}

		p = &Plane{kernel: f.kernel()}
		apply(t, p, dataplane.Op{Verb: dataplane.AddService, Service: web})
		p.kernel.destinations = func(ipvs.Service) ([]ipvs.DestinationExtended, error) { return nil, errno }
		if table, err := p.Read(context.Background()); !errors.Is(err, errno) || table != nil {
			t.Errorf("destinations give %v: Read is %v, %v", errno, table, err)
		}
	}
}

func TestReadDropsDuplicates(t *testing.T) {
	f := newFake()
	p := &Plane{kernel: f.kernel()}
	apply(t, p,
		dataplane.Op{Verb: dataplane.AddService, Service: web},
		dataplane.Op{Verb: dataplane.AddDestination, Service: web, Destination: backend},
	)
	p.kernel.services = func() ([]ipvs.ServiceExtended, error) { return twice(f.dump()) }
	p.kernel.destinations = func(s ipvs.Service) ([]ipvs.DestinationExtended, error) { return twice(f.dumpDestinations(s)) }
	want := web
	want.Destinations = []dataplane.Destination{backend}
	if got := read(t, p); !got.Equal(dataplane.NewTable(want)) {
		t.Errorf("Read is %v", got)
	}
}

func twice[T any](list []T, err error) ([]T, error) { return append(list, list...), err }

func TestReadLeavesOutFwmark(t *testing.T) {
	f := newFake()
	p := &Plane{kernel: f.kernel()}
	f.services[fakeID{fwmark: 7}] = &fakeService{Service: ipvs.Service{FWMark: 7, Scheduler: "rr"}}
	apply(t, p, dataplane.Op{Verb: dataplane.AddService, Service: web})
	if got := read(t, p); !got.Equal(dataplane.NewTable(web)) {
		t.Errorf("Read is %v", got)
	}
}

func TestForeignSettingsDifferAndAreCleared(t *testing.T) {
	f := newFake()
	p := &Plane{kernel: f.kernel()}
	apply(t, p,
		dataplane.Op{Verb: dataplane.AddService, Service: web},
		dataplane.Op{Verb: dataplane.AddDestination, Service: web, Destination: backend},
	)
	for _, s := range f.services {
		s.Flags |= ipvs.ServicePersistent
		s.destinations[backend.Addr] = ipvs.Destination{Address: backend.Addr.Addr(), Port: 80, FwdMethod: ipvs.DirectRoute, Weight: 1, UpperThreshold: 5}
	}
	want := web
	want.Destinations = []dataplane.Destination{backend}
	plan, _ := dataplane.Diff(read(t, p), dataplane.NewTable(want), nil, nil)
	if len(plan) != 2 {
		t.Errorf("plan is %v, want an edit of the service and one of the destination", plan)
	}
	bring(t, p, dataplane.NewTable(want))
}

func TestApplyErrors(t *testing.T) {
	v6 := dataplane.Destination{Addr: netip.MustParseAddrPort("[2001:db8::1]:80"), Forward: dataplane.Direct}
	multicast := dataplane.Destination{Addr: netip.MustParseAddrPort("224.0.0.1:80"), Forward: dataplane.Direct}
	absent, noScheduler := web, web
	absent.ID.VIP = netip.MustParseAddrPort("192.0.2.9:80")
	noScheduler.Scheduler = "nonesuch"
	for _, test := range []struct {
		op    dataplane.Op
		errno syscall.Errno
		want  []string
	}{
		{dataplane.Op{Verb: dataplane.AddService, Service: noScheduler}, syscall.ENOENT, []string{"192.0.2.1:80", `no scheduler "nonesuch"`, "ip_vs_nonesuch"}},
		{dataplane.Op{Verb: dataplane.EditService, Service: absent}, syscall.ESRCH, []string{"192.0.2.9:80", "no such service"}},
		{dataplane.Op{Verb: dataplane.AddDestination, Service: absent, Destination: backend}, syscall.ESRCH, []string{"192.0.2.9:80", "10.0.0.1:80", "no such service"}},
		{dataplane.Op{Verb: dataplane.EditDestination, Service: web, Destination: backend}, syscall.ENOENT, []string{"10.0.0.1:80", "no such destination"}},
		{dataplane.Op{Verb: dataplane.AddDestination, Service: web, Destination: v6}, syscall.EINVAL, []string{"[2001:db8::1]:80", "tunnel"}},
		{dataplane.Op{Verb: dataplane.AddDestination, Service: web, Destination: multicast}, syscall.EINVAL, []string{"224.0.0.1:80", "lo is down"}},
	} {
		p := &Plane{kernel: newFake().kernel()}
		apply(t, p, dataplane.Op{Verb: dataplane.AddService, Service: web})
		err := p.Apply(context.Background(), dataplane.Plan{test.op})
		if !errors.Is(err, test.errno) {
			t.Errorf("%v: %v, want %v", test.op, err, test.errno)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v: %q does not contain %q", test.op, err, want)
			}
		}
	}
}

func TestExplain(t *testing.T) {
	add := dataplane.Op{Verb: dataplane.AddService, Service: web}
	for _, test := range []struct {
		got  error
		want string
	}{
		{explainOpen(syscall.ENOENT), "modprobe ip_vs"},
		{explainOpen(os.ErrNotExist), "modprobe ip_vs"},
		{explainOpen(syscall.EMFILE), syscall.EMFILE.Error()},
		{explain(syscall.EPERM, dataplane.Op{}), "CAP_NET_ADMIN"},
		{explain(syscall.EPERM, add), "CAP_NET_ADMIN"},
		{explain(syscall.EPROTONOSUPPORT, add), "tcp"},
		{explain(syscall.EAFNOSUPPORT, add), "address family"},
		{explain(syscall.ENOMEM, add), syscall.ENOMEM.Error()},
	} {
		if !strings.Contains(test.got.Error(), test.want) {
			t.Errorf("%q does not contain %q", test.got, test.want)
		}
	}
}

func TestApplyStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	p := &Plane{kernel: newFake().kernel()}
	create := p.kernel.createService
	p.kernel.createService = func(s ipvs.Service) error { cancel(); return create(s) }
	second := web
	second.ID.Protocol = dataplane.UDP
	err := p.Apply(ctx, dataplane.Plan{{Verb: dataplane.AddService, Service: web}, {Verb: dataplane.AddService, Service: second}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Apply: %v", err)
	}
	if got := read(t, p); !got.Equal(dataplane.NewTable(web)) {
		t.Errorf("table is %v, want the first service alone", got)
	}
}

func apply(t *testing.T, p *Plane, plan ...dataplane.Op) {
	t.Helper()
	if err := p.Apply(context.Background(), plan); err != nil {
		t.Fatalf("Apply: %v", err)
	}
}

func TestEncode(t *testing.T) {
	for _, test := range []struct {
		name    string
		service dataplane.Service
		want    string // an error
	}{
		{"protocol", dataplane.Service{ID: dataplane.ServiceID{Protocol: "icmp", VIP: web.ID.VIP}, Scheduler: "rr"}, `no protocol "icmp"`},
		{"no protocol", dataplane.Service{ID: dataplane.ServiceID{VIP: web.ID.VIP}, Scheduler: "rr"}, `no protocol ""`},
		{"no address", dataplane.Service{ID: dataplane.ServiceID{Protocol: dataplane.TCP}, Scheduler: "rr"}, "address"},
		{"mapped", dataplane.Service{ID: dataplane.ServiceID{Protocol: dataplane.TCP, VIP: netip.MustParseAddrPort("[::ffff:192.0.2.1]:80")}, Scheduler: "rr"}, "address"},
		{"zone", dataplane.Service{ID: dataplane.ServiceID{Protocol: dataplane.TCP, VIP: netip.MustParseAddrPort("[fe80::1%eth0]:80")}, Scheduler: "rr"}, "address"},
		{"no scheduler", dataplane.Service{ID: web.ID}, `no scheduler ""`},
		{"long scheduler", dataplane.Service{ID: web.ID, Scheduler: "sixteenlettersss"}, "no scheduler"},
		{"decorated scheduler", dataplane.Service{ID: web.ID, Scheduler: "wrr+persistent"}, "no scheduler"},
	} {
		if _, err := encodeService(test.service); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
	for _, test := range []struct {
		name        string
		destination dataplane.Destination
		want        string
	}{
		{"negative", dataplane.Destination{Addr: backend.Addr, Weight: -1, Forward: dataplane.Direct}, "weight -1"},
		{"no method", dataplane.Destination{Addr: backend.Addr, Weight: 1}, `no forwarding method ""`},
		{"no address", dataplane.Destination{Weight: 1, Forward: dataplane.Direct}, "address"},
	} {
		if _, err := encodeDestination(test.destination); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func TestEncodeMasks(t *testing.T) {
	for vip, bits := range map[string]int{"192.0.2.1:80": 32, "[2001:db8::1]:80": 128} {
		s, err := encodeID(dataplane.ServiceID{Protocol: dataplane.TCP, VIP: netip.MustParseAddrPort(vip)})
		if err != nil || s.Netmask.Bits() != bits {
			t.Errorf("%s: mask of %d bits (%v), want %d", vip, s.Netmask.Bits(), err, bits)
		}
	}
}

func TestDecodeService(t *testing.T) {
	addr := netip.MustParseAddr("192.0.2.1")
	for _, test := range []struct {
		in   ipvs.Service
		want dataplane.Service
	}{
		{
			ipvs.Service{Address: addr, Port: 80, Protocol: ipvs.TCP, Scheduler: "wrr", Flags: ipvs.ServiceHashed},
			dataplane.Service{ID: web.ID, Scheduler: "wrr"},
		},
		{
			ipvs.Service{Address: addr, Port: 80, Protocol: ipvs.UDP, Scheduler: "rr", Flags: ipvs.ServiceOnePacket | ipvs.ServiceHashed},
			dataplane.Service{ID: dataplane.ServiceID{Protocol: dataplane.UDP, VIP: web.ID.VIP}, Scheduler: "rr", OnePacket: true},
		},
		{
			ipvs.Service{Address: addr, Port: 80, Protocol: ipvs.SCTP, Scheduler: "sh", Flags: ipvs.ServicePersistent | ipvs.ServiceSchedulerOpt2},
			dataplane.Service{ID: dataplane.ServiceID{Protocol: dataplane.SCTP, VIP: web.ID.VIP}, Scheduler: "sh+persistent+flags=0x10"},
		},
		{
			ipvs.Service{Address: addr, Port: 80, Protocol: 50, Scheduler: "rr"},
			dataplane.Service{ID: dataplane.ServiceID{Protocol: "protocol-50", VIP: web.ID.VIP}, Scheduler: "rr"},
		},
	} {
		got, ok := decodeService(test.in)
		if diff := cmp.Diff(test.want, got, cmpopts.EquateComparable(netip.AddrPort{})); !ok || diff != "" {
			t.Errorf("decodeService(%+v), %v (-want +got):\n%s", test.in, ok, diff)
		}
	}
}

func TestDecodeForward(t *testing.T) {
	for _, test := range []struct {
		in   ipvs.Destination
		want dataplane.Forward
	}{
		{ipvs.Destination{FwdMethod: ipvs.DirectRoute}, dataplane.Direct},
		{ipvs.Destination{FwdMethod: ipvs.Tunnel}, dataplane.Tunnel},
		{ipvs.Destination{FwdMethod: ipvs.Masquerade}, dataplane.Masquerade},
		{ipvs.Destination{FwdMethod: ipvs.Local}, "method-1"},
		{ipvs.Destination{FwdMethod: ipvs.Tunnel, TunnelType: ipvs.GUE}, "tunnel+type=1"},
		{ipvs.Destination{FwdMethod: ipvs.DirectRoute, UpperThreshold: 9, LowerThreshold: 3}, "direct+limit=3:9"},
	} {
		if got := decodeForward(test.in); got != test.want {
			t.Errorf("decodeForward(%+v) = %q, want %q", test.in, got, test.want)
		}
	}
}
