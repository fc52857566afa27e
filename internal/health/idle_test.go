package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-lb/sluice/internal/lb"
)

var quick = monitorOf("IdleConnection", "max-delay", "0.05")

// Case C45, refused.
func TestIdleRefused(t *testing.T) {
	b := listen(t, "127.0.0.1:0", keep)
	b.listener.Close()
	results := watch(t, quick, b.addr)
	want(t, results, result{lb.Down, "connection refused"})
	want(t, results, result{lb.Down, "connection refused"})
	listen(t, b.addr.String(), keep)
	for r := range results {
		if r == (result{state: lb.Up}) {
			break
		}
	}
}

// Case C45, reset: down at once.
func TestIdleReset(t *testing.T) {
	conns := make(chan net.Conn, 9)
	b := listen(t, "[::1]:0", func(conn net.Conn) { conns <- conn; keep(conn) })
	results := watch(t, quick, b.addr)
	want(t, results, result{state: lb.Up})
	conn := (<-conns).(*net.TCPConn)
	if err := conn.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	want(t, results, result{lb.Down, "connection reset by peer"})
	want(t, results, result{state: lb.Up})
}

// Case C45, closed in order while still accepting: stays up.
func TestIdleClosedButAccepting(t *testing.T) {
	conns := make(chan net.Conn, 9)
	b := listen(t, "127.0.0.1:0", func(conn net.Conn) { conns <- conn; keep(conn) })
	results := watch(t, quick, b.addr)
	for range 2 {
		want(t, results, result{state: lb.Up})
		(<-conns).Close()
	}
	want(t, results, result{state: lb.Up})
}

// Case C45, closed in order and no longer accepting.
func TestIdleClosedForGood(t *testing.T) {
	conns := make(chan net.Conn, 9)
	b := listen(t, "127.0.0.1:0", func(conn net.Conn) { conns <- conn; keep(conn) })
	results := watch(t, quick, b.addr)
	want(t, results, result{state: lb.Up})
	b.listener.Close()
	(<-conns).Close()
	want(t, results, result{lb.Down, "connection refused"})
}

func TestIdleKeepalive(t *testing.T) {
	for _, tt := range []struct {
		monitor lb.Monitor
		want    []int // on, idle, interval, count
	}{
		{monitorOf("IdleConnection"), []int{1, 10, 30, 3}},
		{monitorOf("IdleConnection", "keepalive-idle", "20", "keepalive-interval", "7", "keepalive-retries", "4"), []int{1, 20, 7, 4}},
		{monitorOf("IdleConnection", "keepalive", "off"), []int{0, 7200, 75, 9}},
	} {
		b := listen(t, "127.0.0.1:0", keep)
		c, err := compile(tt.monitor)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := c.check.(idleCheck).open(t.Context(), probeOf(b.addr, nil), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		raw.Control(func(fd uintptr) {
			for i, option := range [][2]int{
				{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE},
				{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE},
				{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL},
				{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT},
			} {
				got, err := syscall.GetsockoptInt(int(fd), option[0], option[1])
				if err != nil || tt.want[0] == 1 && got != tt.want[i] || i == 0 && got != tt.want[0] {
					t.Errorf("%v: option %d is %d (%v), want %d", tt.monitor.Options, i, got, err, tt.want[i])
				}
			}
		})
		conn.Close()
	}
}

// stub is a connection whose reads are a function's.
type stub struct {
	net.Conn
	read   func(p []byte, closed <-chan struct{}) (int, error)
	once   sync.Once
	closed chan struct{}
}

func newStub(read func([]byte, <-chan struct{}) (int, error)) *stub {
	return &stub{read: read, closed: make(chan struct{})}
}

func (s *stub) Read(p []byte) (int, error)  { return s.read(p, s.closed) }
func (s *stub) Write(p []byte) (int, error) { return len(p), nil }
func (s *stub) SetDeadline(time.Time) error { return nil }

func (s *stub) SetReadDeadline(time.Time) error { return nil }

func (s *stub) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

// silent is a server that holds the connection.
func silent(_ []byte, closed <-chan struct{}) (int, error) {
	<-closed
	return 0, net.ErrClosed
}

// simulate runs an IdleConnection in simulated time for d over dial, and
// returns its results.
func simulate(t *testing.T, d time.Duration, dial Dial) []result {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	c, err := compile(monitorOf("IdleConnection"))
	if err != nil {
		t.Fatal(err)
	}
	var results []result
	p := probeOf(netip.MustParseAddrPort("192.0.2.1:80"), func(r result) { results = append(results, r) })
	p.dial = dial
	c.check.run(ctx, p)
	synctest.Wait()
	return results
}

// Case C47: a server that accepts and closes is up, and connected to once a
// second.
func TestIdleAcceptAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dials := 0
		results := simulate(t, time.Minute+time.Millisecond, func(context.Context, string, string) (net.Conn, error) {
			dials++
			return newStub(func([]byte, <-chan struct{}) (int, error) { return 0, io.EOF }), nil
		})
		if dials != 61 {
			t.Errorf("%d connections in a minute, want 61", dials)
		}
		for _, r := range results {
			if r.state != lb.Up {
				t.Fatalf("result %v %q, want up", r.state, r.reason)
			}
		}
	})
}

// A connection that lasted is replaced at once after a clean close.
func TestIdleReconnectsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var dialled []time.Duration
		simulate(t, 100*time.Second, func(context.Context, string, string) (net.Conn, error) {
			dialled = append(dialled, time.Since(start))
			return newStub(func(_ []byte, closed <-chan struct{}) (int, error) {
				select {
				case <-closed:
					return 0, net.ErrClosed
				case <-time.After(30 * time.Second):
					return 0, io.EOF
				}
			}), nil
		})
		if len(dialled) != 4 || dialled[3] != 90*time.Second {
			t.Errorf("connected at %v, want every 30s", dialled)
		}
	})
}

// Case C46: the pauses of a server that is down, and their reset.
func TestIdleBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var last time.Time
		var gaps []time.Duration
		simulate(t, 3*time.Hour, func(context.Context, string, string) (net.Conn, error) {
			if !last.IsZero() {
				gaps = append(gaps, time.Since(last))
			}
			last = time.Now()
			if len(gaps) == 10 {
				return newStub(func([]byte, <-chan struct{}) (int, error) { return 0, syscall.ECONNRESET }), nil
			}
			return nil, syscall.ECONNREFUSED
		})
		for i, gap := range gaps {
			switch {
			case i == 0 || i == 10:
				if gap < 1700*time.Millisecond || gap > 3700*time.Millisecond {
					t.Errorf("pause %d is %v, want about 2.7s", i, gap)
				}
			case gap > 300*time.Second:
				t.Errorf("pause %d is %v, want at most 300s", i, gap)
			case i > 5 && i < 10 && gap < 180*time.Second:
				t.Errorf("pause %d is %v, want about 300s", i, gap)
			}
		}
		if len(gaps) < 20 {
			t.Errorf("only %d attempts in three hours", len(gaps))
		}
	})
}

// A host that does not answer is down after 3 s, and an attempt after a clean
// close has its own timeout.
func TestIdleTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waited []time.Duration
		results := simulate(t, 20*time.Second, func(ctx context.Context, _, _ string) (net.Conn, error) {
			if len(waited) == 1 {
				waited = append(waited, 0)
				return newStub(func([]byte, <-chan struct{}) (int, error) { return 0, io.EOF }), nil
			}
			start := time.Now()
			<-ctx.Done()
			waited = append(waited, time.Since(start))
			return nil, ctx.Err()
		})
		if waited[0] != 3*time.Second || waited[2] != 3*time.Second {
			t.Errorf("waited %v, want 3s, 0, 3s", waited)
		}
		for i, r := range []result{{lb.Down, "timeout"}, {state: lb.Up}, {lb.Down, "timeout"}} {
			if results[i] != r {
				t.Errorf("result %d is %v, want %v", i, results[i], r)
			}
		}
	})
}

func TestIdleOwnFaultIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		results := simulate(t, time.Second, func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: syscall.EMFILE}
		})
		if len(results) != 1 || results[0].state != lb.Unknown {
			t.Errorf("results %v, want one unknown", results)
		}
	})
}

// A server that talks without end is read slowly, and is up.
func TestIdleChatter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		results := simulate(t, time.Minute, func(context.Context, string, string) (net.Conn, error) {
			return newStub(func(p []byte, closed <-chan struct{}) (int, error) {
				select {
				case <-closed:
					return 0, errors.New("closed")
				default:
				}
				reads++
				return len(p), nil
			}), nil
		})
		if reads > 601 || len(results) != 1 || results[0].state != lb.Up {
			t.Errorf("%d reads in a minute and results %v, want at most 601 and one up", reads, results)
		}
	})
}

// With rise a connection has to hold: each second of it is one more result.
func TestIdleRise(t *testing.T) {
	b := listen(t, "127.0.0.1:0", keep)
	start := time.Now()
	results := watch(t, monitorOf("IdleConnection", "rise", "2"), b.addr)
	want(t, results, result{state: lb.Up})
	want(t, results, result{state: lb.Up})
	if held := time.Since(start); held < time.Second {
		t.Errorf("the second result came after %v, want a second", held)
	}
	if n := b.accepted.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// The first connections to a big pool are spread over three seconds.
func TestIdleSpreadsTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const servers = 4000
		start := time.Now()
		var mu sync.Mutex
		var tenths [31]int
		r := New(quiet(), WithDial(func(context.Context, string, string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			tenths[time.Since(start)/(100*time.Millisecond)]++
			return newStub(silent), nil
		}))
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { r.Run(ctx) })
		var backends []lb.Backend
		for i := range servers {
			backends = append(backends, at(fmt.Sprintf("s%d", i), fmt.Sprintf("10.0.%d.%d", i/250, 1+i%250)))
		}
		set(t, r, 80, []lb.Monitor{monitorOf("IdleConnection")}, backends...)
		for range servers {
			<-r.Verdicts()
		}
		cancel()
		running.Wait()
		for i, n := range tenths[:30] {
			if n < servers/60 || n > servers/15 {
				t.Errorf("%d connections in tenth %d, want about %d", n, i, servers/30)
			}
		}
	})
}

func TestFailedAs(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, "ConnectionRefusedError"},
		{&net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}, "NoRouteError"},
		{&net.OpError{Op: "dial", Err: syscall.ETIMEDOUT}, "TCPTimedOutError"},
		{context.DeadlineExceeded, "TimeoutError"},
		{&net.OpError{Op: "dial", Err: syscall.EMFILE}, "ConnectError"},
	} {
		if got := failedAs(tt.err); got != tt.want {
			t.Errorf("%v is %s, want %s", tt.err, got, tt.want)
		}
	}
}
