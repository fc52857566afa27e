package health

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/sluice-lb/sluice/internal/lb"
)

// monitor is one configured check, ready to run.
type monitor struct {
	kind       string
	rise, fall int // how many results in a row change a mind
	check      check
}

// check is one way to look at servers. It holds its options and nothing about
// any server: one check serves a whole pool.
type check interface {
	// run watches p's server until ctx ends and tells every result.
	run(ctx context.Context, p *probe)
}

// result is what one look at a server found.
type result struct {
	state  lb.State
	reason string
}

// probe is one check of one server: the server, the way to it, and where to
// tell what was found.
type probe struct {
	service string
	host    string
	addr    netip.AddrPort
	weight  *atomic.Int64 // edits change it while checks run
	dial    Dial
	log     *slog.Logger
	spread  time.Duration // how long a first connection may be put off
	slots   chan struct{} // room for running commands
	account *account
	tell    func(result)
}

// rhythm is how often a check looks, and how long one look may take, from
// connecting to the last byte.
type rhythm struct{ interval, timeout time.Duration }

// newRhythm reads interval and timeout. Fractions of a second are ours.
func newRhythm(o *options, interval, timeout time.Duration) rhythm {
	const least = 10 * time.Millisecond
	return rhythm{
		interval: o.seconds("interval", interval, least),
		timeout:  o.seconds("timeout", timeout, least),
	}
}

// keep looks again and again until ctx ends, and tells what comes of it.
func (r rhythm) keep(ctx context.Context, p *probe, look func(context.Context, *probe) error) {
	every(ctx, r.interval, func() {
		found := r.once(ctx, p, look)
		if ctx.Err() == nil {
			p.tell(found)
		}
	})
}

// once takes one look within the timeout. What still hangs then is the
// server's fault, whatever it looks like.
func (r rhythm) once(ctx context.Context, p *probe, look func(context.Context, *probe) error) result {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	err := look(ctx, p)
	switch {
	case err == nil:
		return result{state: lb.Up}
	case ctx.Err() != nil, plainly(err) == "timeout":
		return result{lb.Down, "timeout after " + r.timeout.String()}
	}
	return failure(err)
}

// connect opens a connection to the server that is useless from the end of
// ctx on: whatever waits on it then fails. The caller calls done at the end.
func (p *probe) connect(ctx context.Context, network string, addr netip.AddrPort) (conn net.Conn, done func(), err error) {
	conn, err = p.dial(ctx, network, addr.String())
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return conn, func() { stop(); conn.Close() }, nil
}
