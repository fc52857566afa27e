package health

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/sluice-lb/sluice/internal/lb"
)

// A connection is opened and closed, each time anew, whatever the server says.
func TestConnect(t *testing.T) {
	ended := make(chan error)
	b := listen(t, "127.0.0.1:0", func(conn net.Conn) {
		_, err := conn.Read(make([]byte, 1))
		ended <- err
	})
	results := watch(t, monitorOf("TCPConnect", "interval", "0.02"), b.addr)
	for range 3 {
		want(t, results, result{state: lb.Up})
		if err := <-ended; err != io.EOF {
			t.Errorf("connection ended with %v, want a clean close", err)
		}
	}
}

func TestConnectRefused(t *testing.T) {
	b := listen(t, "127.0.0.1:0", keep)
	b.listener.Close()
	want(t, watch(t, monitorOf("TCPConnect"), b.addr), result{lb.Down, "connection refused"})
}

func TestConnectTimeout(t *testing.T) {
	c, err := compile(monitorOf("TCPConnect", "timeout", "0.05"))
	if err != nil {
		t.Fatal(err)
	}
	p := probeOf(netip.MustParseAddrPort("192.0.2.1:80"), nil)
	p.dial = func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
	connect := c.check.(connectCheck)
	if got := connect.once(t.Context(), p, connect.look); got != (result{lb.Down, "timeout after 50ms"}) {
		t.Errorf("result %v %q", got.state, got.reason)
	}
}
