package health

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/sluice-lb/sluice/internal/lb"
)

// idleCheck is PyBal's IdleConnection: it holds a TCP connection open, and a server
// is up as long as it keeps it, or takes the next one after a clean close.
type idleCheck struct {
	connect   time.Duration // how long a connection may take to open
	reconnect time.Duration // the same, after a clean close
	maxDelay  time.Duration // longest pause between attempts
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
		keepalive: net.KeepAliveConfig{
			Enable:   o.yes("keepalive", true),
			Idle:     o.seconds("keepalive-idle", 10*time.Second, time.Second),
			Interval: o.seconds("keepalive-interval", 30*time.Second, time.Second),
			Count:    o.whole("keepalive-retries", 3, 1, 127),
		},
	}
}

func (c idleCheck) run(ctx context.Context, to netip.AddrPort, dial Dial, tell func(result)) {
	pause := backoff{max: c.maxDelay}
	for timeout := c.connect; ; {
		opened := time.Now()
		conn, err := c.open(ctx, to, dial, timeout)
		if err == nil {
			tell(result{state: lb.Up})
			pause.reset()
			err = hold(ctx, conn)
		}
		if ctx.Err() != nil {
			return
		}
		delay := reconnectSpacing - time.Since(opened)
		timeout = c.reconnect
		if !errors.Is(err, errClean) {
			tell(failure(err))
			delay = pause.next()
			timeout = c.connect
		}
		if !sleep(ctx, delay) {
			return
		}
	}
}

func (c idleCheck) open(ctx context.Context, to netip.AddrPort, dial Dial, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := dial(ctx, "tcp", to.String())
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

// errClean says that the server closed the connection in order.
var errClean = errors.New("closed")

// hold keeps a connection until it ends and says how: errClean, or the error
// that broke it. It closes the connection when ctx ends.
func hold(ctx context.Context, conn net.Conn) error {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
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
