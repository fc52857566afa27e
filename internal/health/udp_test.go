package health

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-lb/sluice/internal/lb"
)

// packets is a UDP socket on loopback. serve is called for every datagram.
func packets(t testing.TB, address string, serve func(conn net.PacketConn, from net.Addr, datagram []byte)) (netip.AddrPort, net.PacketConn) {
	t.Helper()
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 65536)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			serve(conn, from, buf[:n])
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	return netip.MustParseAddrPort(conn.LocalAddr().String()), conn
}

// A server that listens and says nothing is up, and gets empty datagrams.
func TestUDPSilence(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		got := make(chan int, 100)
		addr, _ := packets(t, address, func(_ net.PacketConn, _ net.Addr, datagram []byte) { got <- len(datagram) })
		results := watch(t, monitorOf("UDP", "interval", "0.05"), addr)
		for range 3 {
			want(t, results, result{state: lb.Up})
			if n := <-got; n != 0 {
				t.Errorf("a datagram of %d bytes, want an empty one", n)
			}
		}
	}
}

// A refusal is down, again and again, and up only when icmp-timeout has
// passed without one.
func TestUDPRefused(t *testing.T) {
	addr, conn := packets(t, "127.0.0.1:0", func(net.PacketConn, net.Addr, []byte) {})
	results := watch(t, monitorOf("UDP", "interval", "0.05", "icmp-timeout", "0.3"), addr)
	want(t, results, result{state: lb.Up})
	conn.Close()
	down := result{lb.Down, "connection refused"}
	for r := range results {
		if r == down {
			break
		}
	}
	want(t, results, down)
	want(t, results, down)
	last := time.Now()
	packets(t, addr.String(), func(net.PacketConn, net.Addr, []byte) {})
	for r := range results {
		if r == down {
			last = time.Now()
			continue
		}
		if silent := time.Since(last); r.state != lb.Up || silent < 280*time.Millisecond {
			t.Errorf("%v %q %v after the last refusal, want up after 300ms", r.state, r.reason, silent)
		}
		break
	}
	want(t, results, result{state: lb.Up})
}

// What a server sends is thrown away slowly, and does not disturb the rounds.
func TestUDPFlood(t *testing.T) {
	flooding := make(chan struct{})
	ended := make(chan struct{})
	t.Cleanup(func() { <-ended })
	addr, _ := packets(t, "127.0.0.1:0", func(conn net.PacketConn, from net.Addr, _ []byte) {
		select {
		case <-flooding:
		default:
			close(flooding)
			go func() {
				defer close(ended)
				for {
					if _, err := conn.WriteTo(make([]byte, 1400), from); errors.Is(err, net.ErrClosed) {
						return
					}
				}
			}()
		}
	})
	results := watch(t, monitorOf("UDP", "interval", "0.1"), addr)
	for range 5 {
		want(t, results, result{state: lb.Up})
	}
}

// Trouble of this machine's own is unknown, and the next round has a new
// socket.
func TestUDPOwnFault(t *testing.T) {
	addr, _ := packets(t, "127.0.0.1:0", func(net.PacketConn, net.Addr, []byte) {})
	c, err := compile(monitorOf("UDP", "interval", "0.05"))
	if err != nil {
		t.Fatal(err)
	}
	var got []result
	p := probeOf(addr, func(r result) { got = append(got, r) })
	w := udpWatch{udpCheck: c.check.(udpCheck), probe: p}
	defer w.close()
	w.fail(t.Context(), &net.OpError{Op: "write", Err: syscall.ENOBUFS})
	w.round(t.Context())
	if len(got) != 2 || got[0].state != lb.Unknown || got[1].state != lb.Up {
		t.Errorf("results %v, want unknown and up", got)
	}
}
