package health

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-lb/sluice/internal/lb"
)

func TestMain(m *testing.M) {
	if os.Getenv(farmEnv) != "" {
		farm()
		return
	}
	goleak.VerifyTestMain(m)
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// backend is a real listener on loopback that treats every connection the same
// way. Connections still open at the end of the test are closed.
type backend struct {
	addr     netip.AddrPort
	accepted atomic.Int64
	listener net.Listener

	mu    sync.Mutex
	conns map[net.Conn]bool
}

func listen(t testing.TB, address string, serve func(net.Conn)) *backend {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{addr: netip.MustParseAddrPort(l.Addr().String()), listener: l, conns: map[net.Conn]bool{}}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			b.accepted.Add(1)
			b.mu.Lock()
			b.conns[conn] = true
			b.mu.Unlock()
			serving.Go(func() {
				serve(conn)
				conn.Close()
				b.mu.Lock()
				delete(b.conns, conn)
				b.mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		b.mu.Lock()
		for conn := range b.conns {
			conn.Close()
		}
		b.mu.Unlock()
		serving.Wait()
	})
	return b
}

// keep holds a connection until the other side ends it.
func keep(conn net.Conn) { io.Copy(io.Discard, conn) }

// probeOf makes a probe of a real address whose results go to tell.
func probeOf(to netip.AddrPort, tell func(result)) *probe {
	return &probe{
		service: "web", host: "s1", addr: to, weight: new(atomic.Int64), dial: New(quiet()).dial, log: quiet(),
		slots: make(chan struct{}, maxCommands), account: &account{}, tell: tell,
	}
}

// watch runs one check against a real address and returns its results.
func watch(t testing.TB, m lb.Monitor, to netip.AddrPort) <-chan result {
	t.Helper()
	c, err := compile(m)
	if err != nil {
		t.Fatal(err)
	}
	results := make(chan result)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		c.check.run(ctx, probeOf(to, func(r result) {
			select {
			case results <- r:
			case <-ctx.Done():
			}
		}))
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return results
}

// want receives the next result, which must be r.
func want(t testing.TB, results <-chan result, r result) {
	t.Helper()
	select {
	case got := <-results:
		if got != r {
			t.Fatalf("result is %v %q, want %v %q", got.state, got.reason, r.state, r.reason)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("no result, want %v %q", r.state, r.reason)
	}
}

func monitorOf(kind string, options ...string) lb.Monitor {
	m := lb.Monitor{Kind: kind, Options: map[string][]string{}}
	for i := 0; i < len(options); i += 2 {
		m.Options[options[i]] = append(m.Options[options[i]], options[i+1])
	}
	return m
}
