package userspace

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"
)

const (
	dialTimeout = 3 * time.Second
	// acceptPause is waited when connections cannot be accepted, for want of
	// file descriptors as a rule.
	acceptPause = 100 * time.Millisecond
	// drainTime is how long one direction of a broken connection may take to
	// hand over what has arrived already.
	drainTime = time.Second
)

// tcpDoor accepts the connections of one service.
type tcpDoor struct {
	*net.TCPListener
	plane *Plane
	pool  *pool
	log   *slog.Logger
}

// forget does nothing: connections outlive their destination's place.
func (d *tcpDoor) forget(netip.AddrPort) {}

func (p *Plane) serveTCP(l *net.TCPListener, pool *pool) door {
	d := &tcpDoor{TCPListener: l, plane: p, pool: pool, log: p.log.With("service", pool.id.String())}
	p.tasks.Go(d.accept)
	return d
}

func (d *tcpDoor) accept() {
	for {
		client, err := d.AcceptTCP()
		switch {
		case err == nil:
			d.plane.tasks.Go(func() { d.serve(client) })
		case errors.Is(err, net.ErrClosed):
			return
		default:
			d.log.Warn("connection not accepted", "err", err)
			select {
			case <-time.After(acceptPause):
			case <-d.plane.ctx.Done():
			}
		}
	}
}

// serve takes one client's connection to its end.
func (d *tcpDoor) serve(client *net.TCPConn) {
	server, dest, ok := d.dial(client)
	if !ok {
		reset(client)
		return
	}
	defer d.pool.give(dest)
	p := pair{client, server}
	defer context.AfterFunc(d.plane.ctx, p.reset)()
	p.relay()
}

// dial connects to a destination, trying each that takes connections at most
// once. The one returned counts as open.
func (d *tcpDoor) dial(client *net.TCPConn) (*net.TCPConn, netip.AddrPort, bool) {
	from := client.RemoteAddr().(*net.TCPAddr).AddrPort().Addr()
	dialer := net.Dialer{Timeout: dialTimeout}
	var tried []netip.AddrPort
	for d.plane.ctx.Err() == nil {
		dest, ok := d.pool.take(from, tried)
		if !ok {
			d.log.Debug("no destination", "client", from, "tried", len(tried))
			break
		}
		conn, err := dialer.DialContext(d.plane.ctx, "tcp", dest.String())
		if err == nil {
			return conn.(*net.TCPConn), dest, true
		}
		d.pool.give(dest)
		d.log.Debug("destination not reached", "client", from, "destination", dest, "err", err)
		tried = append(tried, dest)
	}
	return nil, netip.AddrPort{}, false
}

// pair is the two ends of a proxied connection.
type pair struct {
	client, server *net.TCPConn
}

// relay copies both ways until both are done. The end of one direction is
// passed on and leaves the other open; a broken connection breaks both ends.
func (p pair) relay() {
	done := make(chan error, 1)
	go func() { done <- p.pipe(p.server, p.client) }()
	err := errors.Join(p.pipe(p.client, p.server), <-done)
	if err != nil {
		p.reset()
		return
	}
	p.client.Close()
	p.server.Close()
}

// pipe copies one direction. Which end broke io.Copy does not say, but an empty
// write does: where src takes no more, all is over; otherwise it was dst, and
// what that said before it broke is still to be handed over.
func (p pair) pipe(dst, src *net.TCPConn) error {
	if _, err := io.Copy(dst, src); err != nil {
		if _, gone := src.Write(nil); gone != nil {
			p.reset()
		} else {
			time.AfterFunc(drainTime, p.reset)
		}
		return err
	}
	// An end that is gone altogether shows in the other direction.
	_ = dst.CloseWrite()
	return nil
}

func (p pair) reset() {
	reset(p.client)
	reset(p.server)
}

// reset closes a connection so that the other side notices: by RST, not FIN. On
// a connection that is closed it does nothing.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}
