package lbd

import (
	"bufio"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// TestServerHasLimits of every kind there is, and leaves a question that waits
// for a revision its time.
func TestServerHasLimits(t *testing.T) {
	s := newServer(nil, nil, slog.New(slog.DiscardHandler))
	for name, limit := range map[string]int64{
		"ReadHeaderTimeout": int64(s.ReadHeaderTimeout), "ReadTimeout": int64(s.ReadTimeout), "WriteTimeout": int64(s.WriteTimeout),
		"IdleTimeout": int64(s.IdleTimeout), "MaxHeaderBytes": int64(s.MaxHeaderBytes),
	} {
		if limit <= 0 {
			t.Errorf("no %s", name)
		}
	}
	if s.WriteTimeout <= lbstatus.MaxWait {
		t.Errorf("an answer may take %s, but a question may wait for %s", s.WriteTimeout, lbstatus.MaxWait)
	}
}

// TestServerBoundsConnections: those too many are served one by one as others
// end.
func TestServerBoundsConnections(t *testing.T) {
	const more = 20
	var open, most atomic.Int64
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := newServer(http.NotFoundHandler(), nil, slog.New(slog.DiscardHandler))
	server.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			most.Store(max(most.Load(), open.Add(1)))
		case http.StateClosed:
			open.Add(-1)
		}
	}
	go func() { _ = serveUntil(t.Context(), server, listener) }()
	var conns []net.Conn
	for range maxConnections + more {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Skipf("SKIPPED: this process may not have so many connections: %v", err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
		conns = append(conns, conn)
	}
	for i, conn := range conns {
		if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
			t.Fatalf("connection %d: %v", i+1, err)
		}
		if i < more {
			conn.Close()
		}
	}
	// Room is made a moment before the server tells that a connection ended.
	if n := most.Load(); n > maxConnections+more/2 {
		t.Errorf("%d connections at a time", n)
	}
}
