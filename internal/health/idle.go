package health

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/sluice-lb/sluice/internal/lb"
)

// idleCheck is PyBal's IdleConnection: it holds a TCP connection open, and a server
// is up as long as it keeps it, or takes the next one after a clean close.
type idleCheck struct {
	connect   time.Duration // how long a connection may take to open
	reconnect time.Duration // the same, after a clean close
	maxDelay  time.Duration // longest pause between attempts
	rise      int           // how many seconds a connection holds for its server to be back
	keepalive net.KeepAliveConfig
}

// A server that closes cleanly is connected to again at once, but not more
// often than this: PyBal goes round as fast as the server lets it.
const reconnectSpacing = time.Second

// What a server sends on the connection is thrown away at this pace, so that
// one that talks without end costs next to nothing.
const (
	drainSize  = 512
	drainPause = 100 * time.Millisecond
)

// newIdle reads PyBal's options. connect-timeout is ours, and its 3 s replace
// PyBal's fixed 30: a server that does not even answer is down.
func newIdle(o *options) idleCheck {
	const least = 10 * time.Millisecond
	return idleCheck{
		connect:   o.seconds("connect-timeout", 3*time.Second, least),
		reconnect: o.seconds("timeout-clean-reconnect", 3*time.Second, least),
		maxDelay:  o.seconds("max-delay", 300*time.Second, least),
		rise:      o.count("rise"),
		keepalive: net.KeepAliveConfig{
			Enable:   o.yes("keepalive", true),
			Idle:     o.seconds("keepalive-idle", 10*time.Second, time.Second),
			Interval: o.seconds("keepalive-interval", 30*time.Second, time.Second),
			Count:    o.whole("keepalive-retries", 3, 1, 127),
		},
	}
}

func (c idleCheck) run(ctx context.Context, p *probe) {
	if !sleep(ctx, rand.N(p.spread+1)) {
		return
	}
	pause := backoff{max: c.maxDelay}
	for timeout := c.connect; ; {
		opened := time.Now()
		conn, err := c.open(ctx, p, timeout)
		held := err == nil
		if held {
			pause.reset()
			err = c.hold(ctx, conn, p)
		}
		if ctx.Err() != nil {
			return
		}
		note(p.account, held, err)
		delay := reconnectSpacing - time.Since(opened)
		timeout = c.reconnect
		if !errors.Is(err, errClean) {
			p.tell(failure(err))
			delay = pause.next()
			timeout = c.connect
		}
		if !sleep(ctx, delay) {
			return
		}
	}
}

// note counts a connection that ended or never began.
func note(a *account, held bool, err error) {
	switch {
	case !held:
		a.failed(failedAs(err))
	case errors.Is(err, errClean):
		a.lost("ConnectionDone")
	default:
		a.lost("ConnectionLost")
	}
}

// failedAs gives PyBal's name for the reason a connection did not open, which
// is that of an exception of Twisted's.
func failedAs(err error) string {
	var errno syscall.Errno
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "ConnectionRefusedError"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "NoRouteError"
	case errors.Is(err, syscall.ETIMEDOUT):
		return "TCPTimedOutError"
	case !errors.As(err, &errno) && plainly(err) == "timeout":
		return "TimeoutError"
	}
	return "ConnectError"
}

func (c idleCheck) open(ctx context.Context, p *probe, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := p.dial(ctx, "tcp", p.addr.String())
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok && c.keepalive.Enable {
		// Without keepalives a silently dead host goes unnoticed, but the
		// connection did open.
		_ = tcp.SetKeepAliveConfig(c.keepalive)
	}
	return conn, nil
}

// hold keeps a connection until it ends and says how: errClean, or the error
// that broke it. That it opened is one good result; each second it holds is
// one more, as far as rise asks for more. It closes the connection when ctx
// ends.
func (c idleCheck) hold(ctx context.Context, conn net.Conn, p *probe) error {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	for range c.rise - 1 {
		p.tell(result{state: lb.Up})
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		if err := drain(ctx, conn); !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	p.tell(result{state: lb.Up})
	_ = conn.SetReadDeadline(time.Time{})
	return drain(ctx, conn)
}

// errClean says that the server closed the connection in order.
var errClean = errors.New("closed")

// drain throws away what the server sends until reading ends.
func drain(ctx context.Context, conn net.Conn) error {
	buf := make([]byte, drainSize)
	for {
		n, err := conn.Read(buf)
		if err == io.EOF {
			return errClean
		}
		if err != nil {
			return err
		}
		if n > 0 && !sleep(ctx, drainPause) {
			return ctx.Err()
		}
	}
}
