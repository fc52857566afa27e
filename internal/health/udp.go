package health

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/sluice-lb/sluice/internal/lb"
)

// udpCheck is PyBal's UDP: it sends an empty datagram each interval, and a
// server is down as soon as its host says that nobody listens there, until
// icmp-timeout has passed without that. Silence is up.
type udpCheck struct {
	interval    time.Duration
	icmpTimeout time.Duration
}

// udpPatience is how long a refusal may take to come back before silence
// counts. PyBal does not wait at all.
const udpPatience = 500 * time.Millisecond

func newUDP(o *options) udpCheck {
	return udpCheck{
		interval:    o.seconds("interval", 10*time.Second, 10*time.Millisecond),
		icmpTimeout: o.seconds("icmp-timeout", 20*time.Second, 0),
	}
}

// run goes on whatever happens to its socket: PyBal's loop ends at the first
// refusal, and the server is up ever after.
func (c udpCheck) run(ctx context.Context, p *probe) {
	w := udpWatch{udpCheck: c, probe: p}
	defer w.close()
	every(ctx, c.interval, func() { w.round(ctx) })
}

// udpWatch is the state of one server's check.
type udpWatch struct {
	udpCheck
	*probe
	conn    net.Conn  // nil: to be opened
	refused time.Time // the latest refusal
}

func (w *udpWatch) close() {
	if w.conn != nil {
		w.conn.Close()
		w.conn = nil
	}
}

// round sends one datagram and listens for most of the interval, so that a
// refusal is acted on when it comes. Silence is told once, after a while.
func (w *udpWatch) round(ctx context.Context) {
	end := time.Now().Add(w.interval * 9 / 10)
	if err := w.send(ctx); err != nil {
		w.fail(ctx, err)
		return
	}
	if err := w.listen(ctx, time.Now().Add(min(udpPatience, w.interval/2))); err != nil {
		w.fail(ctx, err)
		return
	}
	if w.refused.IsZero() || time.Since(w.refused) > w.icmpTimeout {
		w.tell(result{state: lb.Up})
	}
	if err := w.listen(ctx, end); err != nil {
		w.fail(ctx, err)
	}
}

// fail tells what happened. A refusal leaves the socket as good as before;
// after anything else there will be a new one.
func (w *udpWatch) fail(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		w.refused = time.Now()
	} else {
		w.close()
	}
	w.tell(failure(err))
}

func (w *udpWatch) send(ctx context.Context) error {
	if w.conn == nil {
		conn, err := w.dial(ctx, "udp", w.addr.String())
		if err != nil {
			return err
		}
		w.conn = conn
	}
	_, err := w.conn.Write(nil)
	return err
}

// listen waits until the given time for a refusal, which is the error of a
// read. What the server sends is thrown away, slowly.
func (w *udpWatch) listen(ctx context.Context, until time.Time) error {
	conn := w.conn
	if err := conn.SetReadDeadline(until); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })()
	var buf [1]byte
	for {
		if _, err := conn.Read(buf[:]); errors.Is(err, os.ErrDeadlineExceeded) {
			return ctx.Err()
		} else if err != nil {
			return err
		}
		if !sleep(ctx, min(drainPause, time.Until(until))) {
			return ctx.Err()
		}
	}
}
