package userspace

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-lb/sluice/internal/dataplane"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newPlane(t *testing.T) *Plane {
	p := New(slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return p
}

// address returns a loopback address with a port that is free for TCP and UDP.
// The tests of this package run one at a time; the address is theirs alone.
func address(t *testing.T, a, b byte) netip.AddrPort {
	t.Helper()
	ip := netip.AddrFrom4([4]byte{127, 77, a, b})
	for range 20 {
		l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)))
		if err != nil {
			t.Fatal(err)
		}
		vip := l.Addr().(*net.TCPAddr).AddrPort()
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(vip))
		l.Close()
		if err == nil {
			conn.Close()
			return vip
		}
	}
	t.Fatal("no free port")
	return netip.AddrPort{}
}

func tcpID(vip netip.AddrPort) dataplane.ServiceID {
	return dataplane.ServiceID{Protocol: dataplane.TCP, VIP: vip}
}

func udpID(vip netip.AddrPort) dataplane.ServiceID {
	return dataplane.ServiceID{Protocol: dataplane.UDP, VIP: vip}
}

// weights are the destinations of a service.
type weights map[netip.AddrPort]int

func serving(id dataplane.ServiceID, w weights) dataplane.Service {
	s := dataplane.Service{ID: id, Scheduler: "wrr"}
	for addr, weight := range w {
		s.Destinations = append(s.Destinations, dataplane.Destination{Addr: addr, Weight: weight})
	}
	return s
}

// bring takes the plane to the table of these services.
func bring(t *testing.T, p *Plane, services ...dataplane.Service) {
	t.Helper()
	have, err := p.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	plan, _ := dataplane.Diff(have, dataplane.NewTable(services...), nil, func(dataplane.ServiceID) bool { return true })
	if err := p.Apply(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
}

// await waits until the service has these open connections and no other.
func await(t *testing.T, p *Plane, id dataplane.ServiceID, want map[netip.AddrPort]int) {
	t.Helper()
	stop := context.AfterFunc(t.Context(), p.ledger.changed.Broadcast)
	defer stop()
	p.ledger.mu.Lock()
	defer p.ledger.mu.Unlock()
	for !sameCounts(p.ledger.open[id], want) {
		if t.Context().Err() != nil {
			t.Fatalf("open connections: %v, want %v", p.ledger.open[id], want)
		}
		p.ledger.changed.Wait()
	}
}

func sameCounts(a, b map[netip.AddrPort]int) bool {
	if len(a) != len(b) {
		return false
	}
	for addr, n := range a {
		if b[addr] != n {
			return false
		}
	}
	return true
}

// tcpBackend serves every connection with handle, and closes it afterwards.
func tcpBackend(t *testing.T, handle func(*net.TCPConn)) netip.AddrPort {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.AcceptTCP()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				handle(c)
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func echo(c *net.TCPConn) { io.Copy(c, c) }

// named sends its one-byte name, and then echoes.
func named(name byte) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		c.Write([]byte{name})
		echo(c)
	}
}

func dial(t *testing.T, vip netip.AddrPort) *net.TCPConn {
	t.Helper()
	c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(vip))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// who connects and returns the name of the backend that answers.
func who(t *testing.T, vip netip.AddrPort) (*net.TCPConn, byte) {
	t.Helper()
	c := dial(t, vip)
	return c, read(t, c, 1)[0]
}

func read(t *testing.T, r io.Reader, n int) []byte {
	t.Helper()
	buf := make([]byte, n)
	if _, err := io.ReadFull(r, buf); err != nil {
		t.Fatal(err)
	}
	return buf
}

// echoes checks that what is sent comes back.
func echoes(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	if got := string(read(t, c, len(text))); got != text {
		t.Fatalf("got %q, want %q", got, text)
	}
}

// isReset checks that the connection ends by RST.
func isReset(t *testing.T, c *net.TCPConn) {
	t.Helper()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want %v", err, syscall.ECONNRESET)
	}
}

// isTurnedAway checks that a new connection is reset, be it so soon that
// connect(2) notices.
func isTurnedAway(t *testing.T, vip netip.AddrPort) {
	t.Helper()
	c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(vip))
	if err == nil {
		defer c.Close()
		isReset(t, c)
	} else if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want %v", err, syscall.ECONNRESET)
	}
}
