package dataplane_test

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-lb/sluice/internal/dataplane"
	"github.com/sluice-lb/sluice/internal/dataplane/planetest"
)

func vip(i int) netip.AddrPort {
	if i%2 == 1 {
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(i)}), 80)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 80)
}

func backend(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 8080)
}

func TestMemoryIsAPlane(t *testing.T) {
	planetest.Run(t, func(*testing.T) dataplane.Plane {
		return dataplane.NewMemory(nil, dataplane.Hooks{})
	}, vip, backend)
}

func TestDryRunIsAPlane(t *testing.T) {
	planetest.Run(t, func(*testing.T) dataplane.Plane {
		return dataplane.NewDryRun(io.Discard, nil)
	}, vip, backend)
}

func TestDryRunSaysWhatItWouldDo(t *testing.T) {
	var out bytes.Buffer
	p := dataplane.NewDryRun(&out, nil)
	want := dataplane.NewTable(dataplane.Service{
		ID:           dataplane.ServiceID{Protocol: dataplane.TCP, VIP: vip(0)},
		Scheduler:    "wrr",
		Destinations: []dataplane.Destination{{Addr: backend(1), Weight: 10}, {Addr: backend(2)}},
	})
	plan, _ := dataplane.Diff(nil, want, nil, nil)
	if err := p.Apply(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
	lines := `-A -t 192.0.2.0:80 -s wrr
-a -t 192.0.2.0:80 -r 10.0.0.1:8080 -w 10
-a -t 192.0.2.0:80 -r 10.0.0.2:8080 -w 0
`
	if diff := cmp.Diff(lines, out.String()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestMemoryHooksFail(t *testing.T) {
	broken := errors.New("broken")
	p := dataplane.NewMemory(nil, dataplane.Hooks{
		Read: func() error { return broken },
		Op:   func(dataplane.Op) error { return broken },
	})
	if _, err := p.Read(t.Context()); !errors.Is(err, broken) {
		t.Errorf("Read: got %v, want %v", err, broken)
	}
	err := p.Apply(t.Context(), dataplane.Plan{{Verb: dataplane.AddService}})
	if !errors.Is(err, broken) {
		t.Errorf("Apply: got %v, want %v", err, broken)
	}
}
