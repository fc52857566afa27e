package health

import (
	"context"
	"time"
)

// connectCheck is a check of ours, TCPConnect: a server is up if it takes a
// connection. Unlike IdleConnection it does not keep it.
type connectCheck struct{ rhythm }

func newConnect(o *options) connectCheck {
	return connectCheck{newRhythm(o, 10*time.Second, 5*time.Second)}
}

func (c connectCheck) run(ctx context.Context, p *probe) { c.keep(ctx, p, c.look) }

func (c connectCheck) look(ctx context.Context, p *probe) error {
	conn, err := p.dial(ctx, "tcp", p.addr.String())
	if err != nil {
		return err
	}
	return conn.Close()
}
