package health

import (
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-lb/sluice/internal/lb"
)

// The tallies count results and changes of mind apart, and go with the server.
func TestTallies(t *testing.T) {
	var broken atomic.Bool
	asked, done := make(chan struct{}), make(chan struct{})
	b := listen(t, "127.0.0.1:0", func(conn net.Conn) {
		ask(conn)
		select {
		case asked <- struct{}{}:
		case <-done:
		}
		if broken.Load() {
			io.WriteString(conn, "HTTP/1.1 500 Oops\r\n\r\n")
		} else {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		}
	})
	const page = "http://x.example/"
	r := run(t)
	fetch := monitorOf("ProxyFetch", "url", page, "interval", "0.02", "fall", "3")
	set(t, r, b.addr.Port(), []lb.Monitor{fetch}, at("s1", "127.0.0.1"), at("s2", ""))
	<-asked
	expectSkipping(t, r, "s1", up)
	for range 3 { // three more good ones
		<-asked
	}
	broken.Store(true)
	close(done)
	expectSkipping(t, r, "s1", lb.Verdict{State: lb.Down, Reason: "ProxyFetch: 500 Internal Server Error"})
	tallies := r.Tallies()
	if len(tallies) != 1 {
		t.Fatalf("tallies %+v, want one", tallies)
	}
	got := tallies[0]
	if got.Ups < 3 || got.Downs < 3 || got.Took[Look{OK: true, URL: page}] <= 0 || got.Took[Look{URL: page}] <= 0 {
		t.Errorf("tally %+v", got)
	}
	got.Ups, got.Downs, got.Took = 0, 0, nil
	want := Tally{Service: "web", Host: "s1", Monitor: "ProxyFetch", State: lb.Down, Rises: 1, Falls: 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tally (-want +got):\n%s", diff)
	}
	set(t, r, b.addr.Port(), []lb.Monitor{fetch}, at("s2", ""))
	expectSkipping(t, r, "s1", lb.Verdict{})
	if tallies := r.Tallies(); len(tallies) != 0 {
		t.Errorf("tallies of nobody: %+v", tallies)
	}
}

// IdleConnection counts what failed and what was lost, by PyBal's reasons.
func TestIdleTally(t *testing.T) {
	drop := make(chan func(net.Conn))
	b := listen(t, "127.0.0.1:0", func(conn net.Conn) { (<-drop)(conn) })
	r := run(t)
	set(t, r, b.addr.Port(), idleOnly, at("s1", "127.0.0.1"))
	expectSkipping(t, r, "s1", up)
	drop <- func(conn net.Conn) { conn.(*net.TCPConn).SetLinger(0) }
	expectSkipping(t, r, "s1", up)
	drop <- func(net.Conn) { b.listener.Close() }
	expectSkipping(t, r, "s1", lb.Verdict{State: lb.Down, Reason: "IdleConnection: connection refused"})
	got := r.Tallies()[0]
	if got.Lost["ConnectionLost"] != 1 || got.Lost["ConnectionDone"] != 1 || got.Failed["ConnectionRefusedError"] == 0 {
		t.Errorf("tally %+v", got)
	}
}

// expectSkipping reads events until the one wanted comes.
func expectSkipping(t *testing.T, r *Runner, host string, v lb.Verdict) {
	t.Helper()
	for e := range r.Verdicts() {
		if e.Host == host && e.Verdict == v {
			return
		}
	}
}
