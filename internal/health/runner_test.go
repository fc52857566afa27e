package health

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-lb/sluice/internal/lb"
)

var up = lb.Verdict{State: lb.Up}

// run starts a Runner that ends with the test.
func run(t testing.TB, opts ...Option) *Runner {
	t.Helper()
	r := New(quiet(), opts...)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return r
}

// expect receives the next event.
func expect(t testing.TB, r *Runner, host string, v lb.Verdict) {
	t.Helper()
	select {
	case e := <-r.Verdicts():
		if e != (Event{"web", host, v}) {
			t.Fatalf("event is %+v, want %s %+v", e, host, v)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("no event, want %s %+v", host, v)
	}
}

func set(t testing.TB, r *Runner, port uint16, monitors []lb.Monitor, backends ...lb.Backend) {
	t.Helper()
	svc := lb.Service{Name: "web", VIP: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port), Monitors: monitors}
	if err := r.Set(svc, lb.Pool{Service: "web", Backends: backends}); err != nil {
		t.Fatal(err)
	}
}

func at(host, addr string) lb.Backend {
	b := lb.Backend{Host: host, Enabled: true}
	if addr != "" {
		b.Addr = netip.MustParseAddr(addr)
	}
	return b
}

var idleOnly = []lb.Monitor{{Kind: "IdleConnection", Options: map[string][]string{"max-delay": {"0.05"}}}}

// Case C26: two monitors, one fails.
func TestRunnerTwoMonitors(t *testing.T) {
	var broken atomic.Bool
	b := listen(t, "127.0.0.1:0", func(conn net.Conn) {
		if ask(conn) == "" {
			return
		}
		if broken.Load() {
			io.WriteString(conn, "HTTP/1.1 500 Oops\r\n\r\n")
		} else {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		}
	})
	r := run(t)
	set(t, r, b.addr.Port(), append(idleOnly, monitorOf("ProxyFetch", "url", "http://x.example/", "interval", "0.05")), at("s1", "127.0.0.1"))
	settle := func(v lb.Verdict) {
		t.Helper()
		for e := range r.Verdicts() {
			if e.Verdict == v {
				return
			}
			if !e.Verdict.Partial && e.Verdict.State != lb.Unknown {
				t.Fatalf("event %+v on the way to %+v", e, v)
			}
		}
	}
	settle(up)
	broken.Store(true)
	settle(lb.Verdict{State: lb.Down, Partial: true, Reason: "ProxyFetch: 500 Internal Server Error"})
	broken.Store(false)
	settle(up)
}

// Cases C12 and C13: removal ends the checks, and an edit disturbs none.
func TestRunnerFollowsThePool(t *testing.T) {
	ended := make(chan struct{}, 9)
	serve := func(conn net.Conn) { keep(conn); ended <- struct{}{} }
	one := listen(t, "127.0.0.1:0", serve)
	port := one.addr.Port()
	two := listen(t, fmt.Sprintf("127.0.0.2:%d", port), serve)
	r := run(t)

	disabled := at("s1", "127.0.0.1")
	disabled.Enabled = false
	set(t, r, port, idleOnly, disabled)
	expect(t, r, "s1", up)

	heavier := at("s1", "127.0.0.1")
	heavier.Weight = 5
	set(t, r, port, idleOnly, heavier, at("s2", "127.0.0.2"))
	expect(t, r, "s2", up)
	if n := one.accepted.Load(); n > 1 {
		t.Errorf("an edit led to %d connections, want the first one kept", n)
	}

	set(t, r, port, idleOnly, at("s2", "127.0.0.2"))
	expect(t, r, "s1", lb.Verdict{})
	<-ended

	set(t, r, port, idleOnly, at("s1", "127.0.0.1"), at("s2", "127.0.0.2"))
	expect(t, r, "s1", up)

	r.Remove("web")
	<-ended
	<-ended
	got := map[string]lb.Verdict{}
	for range 2 {
		e := <-r.Verdicts()
		got[e.Host] = e.Verdict
	}
	if len(got) != 2 || got["s1"] != (lb.Verdict{}) || got["s2"] != (lb.Verdict{}) {
		t.Errorf("after removal: %v, want two zero verdicts", got)
	}
	if n := two.accepted.Load(); n != 1 {
		t.Errorf("%d connections to s2, want 1", n)
	}
}

// Another address is another machine: unknown until it has been looked at.
func TestRunnerAddressChange(t *testing.T) {
	b := listen(t, "127.0.0.1:0", keep)
	held := make(chan struct{})
	r := run(t, WithDial(func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasPrefix(address, "127.0.0.9:") {
			select {
			case <-held:
			case <-ctx.Done():
			}
			return nil, syscall.ECONNREFUSED
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}))
	set(t, r, b.addr.Port(), idleOnly, at("s1", "127.0.0.1"))
	expect(t, r, "s1", up)
	set(t, r, b.addr.Port(), idleOnly, at("s1", "127.0.0.9"))
	expect(t, r, "s1", lb.Verdict{})
	close(held)
	expect(t, r, "s1", lb.Verdict{State: lb.Down, Reason: "IdleConnection: connection refused"})
	set(t, r, b.addr.Port(), idleOnly, at("s1", ""))
	expect(t, r, "s1", lb.Verdict{Reason: "name not resolved"})
	set(t, r, b.addr.Port(), idleOnly, at("s1", "127.0.0.1"))
	for e := range r.Verdicts() { // unknown and up, or up alone
		if e.Verdict == up {
			break
		}
	}
	set(t, r, b.addr.Port(), nil, at("s1", "127.0.0.1"), at("s2", "127.0.0.1"))
	expect(t, r, "s2", up) // without monitors s1 stays up, and s2 is at once
}

// Other monitors, or the same with other options, start over.
func TestRunnerMonitorChange(t *testing.T) {
	began, ended := make(chan struct{}, 9), make(chan struct{}, 9)
	b := listen(t, "127.0.0.1:0", func(conn net.Conn) {
		began <- struct{}{}
		keep(conn)
		ended <- struct{}{}
	})
	r := run(t)
	for _, monitors := range [][]lb.Monitor{idleOnly, {monitorOf("IdleConnection")}, {monitorOf("IdleConnection", "keepalive", "no")}} {
		set(t, r, b.addr.Port(), monitors, at("s1", "127.0.0.1"))
		<-began
	}
	<-ended
	<-ended
}

func TestRunnerRefusesBadMonitors(t *testing.T) {
	r := New(quiet())
	err := r.Set(lb.Service{Name: "web", Monitors: []lb.Monitor{{Kind: "ProxyFetch"}}}, lb.Pool{})
	if err == nil || err.Error() != "service web: monitor ProxyFetch: option url: missing" {
		t.Errorf("error is %v", err)
	}
	if len(r.take()) != 0 {
		t.Error("a refused set was handed over")
	}
}

// An edit of a pool goes through even if a file that a monitor names is gone.
func TestRunnerKeepsCompiledMonitors(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}
	if err := os.WriteFile(ca, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	r := New(quiet())
	fetch := []lb.Monitor{monitorOf("ProxyFetch", "url", "https://example.com/", "tls-ca", ca)}
	set(t, r, 80, fetch, at("s1", "127.0.0.1"))
	if err := os.Remove(ca); err != nil {
		t.Fatal(err)
	}
	set(t, r, 80, fetch, at("s2", "127.0.0.1"))
	r.Remove("web")
	if err := r.Set(lb.Service{Name: "web", Monitors: fetch}, lb.Pool{}); err == nil {
		t.Error("a removed service is still compiled")
	}
}

// TestRunnerStorm flips the verdicts of many servers for a long time while
// nobody reads, then reads: one event for each server, its newest verdict.
func TestRunnerStorm(t *testing.T) {
	const servers = 300
	synctest.Test(t, func(t *testing.T) {
		var calm atomic.Bool
		var mu sync.Mutex
		dials := map[string]int{}
		r := New(quiet(), WithDial(func(_ context.Context, _, address string) (net.Conn, error) {
			mu.Lock()
			dials[address]++
			n := dials[address]
			mu.Unlock()
			if !calm.Load() && n%2 == 0 {
				return nil, syscall.ECONNREFUSED
			}
			return newStub(silentAfter("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")), nil
		}))
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { r.Run(ctx) })

		var backends []lb.Backend
		for i := range servers {
			backends = append(backends, at(fmt.Sprintf("s%03d", i), fmt.Sprintf("10.0.%d.%d", i/250, 1+i%250)))
		}
		set(t, r, 80, []lb.Monitor{monitorOf("ProxyFetch", "url", "http://x.example/", "interval", "0.1")}, backends...)
		time.Sleep(5 * time.Second)
		calm.Store(true)
		time.Sleep(time.Second)

		got := map[string]lb.Verdict{}
		events := 0
		for {
			synctest.Wait()
			var e Event
			select {
			case e = <-r.Verdicts():
			default:
			}
			if e.Host == "" {
				break
			}
			events++
			got[e.Host] = e.Verdict
		}
		for host, v := range got {
			if v != up {
				t.Errorf("%s ends as %+v, want up", host, v)
			}
		}
		if len(got) != servers || events != servers {
			t.Errorf("%d events about %d servers, want %d about %d", events, len(got), servers, servers)
		}
		cancel()
		running.Wait()
	})
}

// silentAfter says text and then holds the connection.
func silentAfter(text string) func([]byte, <-chan struct{}) (int, error) {
	rest := strings.NewReader(text)
	return func(p []byte, closed <-chan struct{}) (int, error) {
		if n, err := rest.Read(p); err == nil {
			return n, nil
		}
		return silent(p, closed)
	}
}

// Set may be called from anywhere, at any rate: the latest one counts.
func TestRunnerManySets(t *testing.T) {
	b := listen(t, "127.0.0.1:0", keep)
	r := run(t)
	var callers sync.WaitGroup
	for i := range 8 {
		callers.Go(func() {
			for n := range 50 {
				set(t, r, b.addr.Port(), idleOnly, at(fmt.Sprintf("s%d", (n+i)%5), "127.0.0.1"))
				if n%10 == 9 {
					r.Remove("web")
				}
			}
		})
	}
	callers.Wait()
	set(t, r, b.addr.Port(), idleOnly, at("last", "127.0.0.1"))
	now := map[string]lb.Verdict{}
	for now["last"] != up || len(now) > 1 {
		e := <-r.Verdicts()
		if e.Verdict == (lb.Verdict{}) {
			delete(now, e.Host)
		} else {
			now[e.Host] = e.Verdict
		}
	}
}
