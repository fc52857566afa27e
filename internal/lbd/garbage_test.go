package lbd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// garbage makes requests nobody should send.
type garbage struct{ *rand.Rand }

func (g garbage) one(of ...string) string { return of[g.IntN(len(of))] }

// noise is any bytes at all.
func (g garbage) noise(n int) string {
	b := make([]byte, g.IntN(n))
	for i := range b {
		b[i] = byte(g.UintN(256))
	}
	return string(b)
}

// printable is noise that fits into a line.
func (g garbage) printable(n int) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '%'
		}
		return r
	}, g.noise(n))
}

// odd is a request that can be answered: the connection goes on.
func (g garbage) odd() string {
	path := g.one("/pools/", "/v1/", "/v1/pools/", "/v1/changes", "/v1/bgp/", "/status", "/status/", "/metrics/", "/alerts/", "/", "//", "/../")
	if g.IntN(2) == 0 {
		path += strings.ReplaceAll(g.printable(40), "%", "%2f")
	}
	query := g.one("", "?", "?min_revision=99999999999999999999", "?wait=-1h", "?pool=x&pool=y", "?q=%00%ff", "?trouble=", "?"+strings.ReplaceAll(g.printable(300), "%", ";"))
	return fmt.Sprintf("%s %s%s HTTP/1.1\r\nHost: x\r\nAccept: %s\r\nLast-Event-ID: %s\r\n\r\n",
		g.one("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "BREW", "get"), path, query,
		g.one("text/html", "application/json", g.printable(50)), g.printable(20))
}

// bad is something that ends the connection.
func (g garbage) bad() string {
	switch g.IntN(8) {
	case 0:
		return g.noise(4000)
	case 1:
		return "GET /" + strings.Repeat("a", 20<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n"
	case 2:
		return "GET / HTTP/1.1\r\n" + strings.Repeat("X-Large: "+g.printable(200)+"\r\n", 200) + "\r\n"
	case 3:
		return "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n"
	case 4:
		return "POST /pools HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999999\r\nExpect: 100-continue\r\n\r\n" + g.noise(100)
	case 5:
		return "GET /pools HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\nffffffff\r\n" + g.noise(100)
	case 6:
		return "GET /pools HTTP/" + g.one("9.9", "1.", "0.9", "") + "\r\n\r\n"
	}
	return "GET /v1/pools/web_80 HTTP/1.1\r\nHost: x\r\n" // and nothing more
}

// talk sends a few odd requests over one connection, and a bad one at last.
func (g garbage) talk(addr string, odd int) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	var text bytes.Buffer
	for range odd {
		text.WriteString(g.odd())
	}
	text.WriteString(g.bad())
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	_, _ = conn.Write(text.Bytes()) // the server may hang up on us
	if err := conn.(*net.TCPConn).CloseWrite(); err == nil {
		_, _ = io.Copy(io.Discard, conn)
	}
	return nil
}

// panics counts what the server logs of them.
type panics struct {
	slog.Handler
	n *atomic.Int64
}

func (p panics) Enabled(context.Context, slog.Level) bool { return true }

func (p panics) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "panic") {
		p.n.Add(1)
	}
	return nil
}

// TestGarbage: a hundred thousand garbage requests leave the status server
// answering, and nothing of them behind.
func TestGarbage(t *testing.T) {
	requests := 100_000
	if testing.Short() {
		requests = 5_000
	}
	board := lbstatus.NewBoard("web_80")
	board.Publish(webReport())
	var panicked atomic.Int64
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	server := newServer(statusRoutes(board), nil, slog.New(panics{slog.DiscardHandler, &panicked}))
	go func() { _ = serveUntil(t.Context(), server, listener) }()

	answers(t, addr)
	before := measure()
	const workers, odd = 40, 19 // the server lingers on what it hangs up
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			g := garbage{rand.New(rand.NewPCG(1, uint64(w)))}
			for range requests / (odd + 1) / workers {
				if err := g.talk(addr, odd); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	answers(t, addr)
	if n := panicked.Load(); n > 0 {
		t.Errorf("%d panics", n)
	}
	for deadline := time.Now().Add(20 * time.Second); measure().goroutines > before.goroutines+5; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", measure().goroutines, before.goroutines)
		}
	}
	if after := measure(); after.heap > before.heap+16<<20 {
		t.Errorf("%d bytes are held, %d before", after.heap, before.heap)
	}
}

// held is what a process holds.
type held struct {
	goroutines int
	heap       uint64
}

func measure() held {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return held{runtime.NumGoroutine(), m.HeapAlloc}
}

// answers asks for something sensible.
func answers(t *testing.T, addr string) {
	t.Helper()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + addr + "/pools")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "web_80\n" {
		t.Errorf("answered %q, %v", body, err)
	}
}
