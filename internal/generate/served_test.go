package generate

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/sluice-lb/sluice/internal/lb"
	"github.com/sluice-lb/sluice/internal/source"
)

// codes notes the status of every answer.
type codes struct {
	http.Handler
	said chan int
}

func (c codes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := &noted{ResponseWriter: w, code: http.StatusOK}
	c.Handler.ServeHTTP(n, r)
	c.said <- n.code
}

type noted struct {
	http.ResponseWriter
	code int
}

func (n *noted) WriteHeader(code int) {
	n.code = code
	n.ResponseWriter.WriteHeader(code)
}

// A balancer that follows a served file gets it once, and again when it has
// changed; in between it hears that it has not.
func TestBalancersAreTold304(t *testing.T) {
	e, _, _ := newPyBal(t)
	pass(t, e, nodes("dc1/web/http/127.0.0.1", up, "dc1/web/http/127.0.0.2", down).Snapshot.Entries)
	said := make(chan int, 100)
	server := httptest.NewServer(codes{e.handler(), said})
	defer server.Close()

	sources := source.New(slog.New(slog.DiscardHandler), nil)
	defer func() { _ = sources.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	heard := make(chan lb.Heard, 100)
	done := make(chan error, 1)
	svc := lb.Service{Name: "web/80", VIP: netip.MustParseAddrPort("192.0.2.1:80"), Source: server.URL + "/pybal/dc1/http"}
	go func() { done <- sources.Follow(ctx, svc, func(h lb.Heard) { heard <- h }) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()

	expect := func(code int, pool string) {
		t.Helper()
		if got := soon(t, said); got != code {
			t.Errorf("answered %d, want %d", got, code)
		}
		for h := soon(t, heard); pool != ""; h = soon(t, heard) {
			if h.Err != "" {
				t.Fatalf("heard %+v", h)
			}
			if h.Pool != nil {
				if b := h.Pool.Backends; len(b) != 2 || b[0].Host != "127.0.0.1" || b[0].Enabled != (pool == "up") || b[1].Enabled {
					t.Errorf("heard %+v", b)
				}
				return
			}
		}
	}
	expect(http.StatusOK, "up")
	expect(http.StatusNotModified, "")
	expect(http.StatusNotModified, "")
	pass(t, e, nodes("dc1/web/http/127.0.0.1", down, "dc1/web/http/127.0.0.2", down).Snapshot.Entries)
	for asked := 1; ; asked++ {
		code := soon(t, said)
		if code == http.StatusOK {
			break
		}
		if code != http.StatusNotModified || asked > 3 { // one request may have been on its way
			t.Fatalf("answered %d", code)
		}
	}
	expect(http.StatusNotModified, "down")
}

// soon returns what comes next.
func soon[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(20 * time.Second):
		t.Fatal("nothing comes")
		panic("unreachable")
	}
}
