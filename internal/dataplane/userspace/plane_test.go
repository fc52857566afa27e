package userspace

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-lb/sluice/internal/dataplane"
	"github.com/sluice-lb/sluice/internal/dataplane/planetest"
)

func TestIsAPlane(t *testing.T) {
	var vips [planetest.VIPs]netip.AddrPort
	for i := range vips {
		vips[i] = address(t, 1, byte(i+1))
	}
	planetest.Run(t,
		func(t *testing.T) dataplane.Plane { return newPlane(t) },
		func(i int) netip.AddrPort { return vips[i] },
		func(i int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 77, 0, byte(i + 1)}), 9)
		},
	)
}

func TestIPv6(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 on loopback here: %v", err)
	}
	vip := l.Addr().(*net.TCPAddr).AddrPort()
	l.Close()
	p := newPlane(t)
	bring(t, p, serving(tcpID(vip), weights{tcpBackend(t, named('a')): 1}))
	who(t, vip)
}

func TestBusyAddressIsRefused(t *testing.T) {
	p := newPlane(t)
	vip, free := address(t, 2, 1), address(t, 2, 2)
	l, err := net.Listen("tcp", vip.String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b := tcpBackend(t, named('a'))
	want := dataplane.NewTable(serving(tcpID(vip), weights{b: 1}), serving(tcpID(free), weights{b: 1}))
	plan, _ := dataplane.Diff(nil, want, nil, nil)
	err = p.Apply(t.Context(), plan)
	text := "add service tcp " + vip.String() + ": listen tcp " + vip.String() + ": bind: address already in use"
	if err == nil || err.Error() != text {
		t.Errorf("got  %v\nwant %s", err, text)
	}
	who(t, free)

	l.Close()
	bring(t, p, want...)
	who(t, vip)
}

func TestSCTPIsRefused(t *testing.T) {
	p := newPlane(t)
	id := dataplane.ServiceID{Protocol: dataplane.SCTP, VIP: address(t, 2, 3)}
	err := p.Apply(t.Context(), dataplane.Plan{{Verb: dataplane.AddService, Service: dataplane.Service{ID: id}}})
	if !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v, want %v", err, errors.ErrUnsupported)
	}
}

func TestPreflight(t *testing.T) {
	vip := address(t, 3, 1)
	ids := []dataplane.ServiceID{tcpID(vip), udpID(vip), {Protocol: dataplane.TCP, VIP: address(t, 3, 2)}}
	for range 2 { // the second time shows that the first let go
		if err := Preflight(ids); err != nil {
			t.Fatal(err)
		}
	}
	p := newPlane(t)
	bring(t, p, serving(tcpID(vip), nil), serving(udpID(vip), nil))
	err := Preflight(append(ids, dataplane.ServiceID{Protocol: dataplane.SCTP, VIP: vip}))
	if !errors.Is(err, syscall.EADDRINUSE) || !errors.Is(err, errors.ErrUnsupported) {
		t.Fatalf("got %v", err)
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "bind service tcp "+vip.String()+": listen tcp ") {
		t.Errorf("got %q", lines)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	before := goleak.IgnoreCurrent()
	p := New(slog.New(slog.DiscardHandler))
	vip := address(t, 4, 1)
	done := make(chan struct{})
	b := tcpBackend(t, func(c *net.TCPConn) { defer close(done); named('a')(c) })
	u := udpBackend(t, 'a')
	backends := goleak.IgnoreCurrent()
	bring(t, p, serving(tcpID(vip), weights{b: 1}), serving(udpID(vip), weights{u: 1}))
	c, _ := who(t, vip)
	ask(t, udpClient(t, vip), "hello")
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("client's connection ended with %v, want a reset", err)
	}
	<-done
	goleak.VerifyNone(t, before, backends)
	if open := p.Connections(); len(open) > 0 {
		t.Errorf("still open: %v", open)
	}
	if err := p.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := p.Read(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read after Close: %v", err)
	}
	if err := p.Apply(t.Context(), nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Apply after Close: %v", err)
	}
}
