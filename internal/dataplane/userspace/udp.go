package userspace

import (
	"container/list"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// flowIdle is how long a flow lives without a datagram either way.
	flowIdle = 60 * time.Second
	// maxFlows bounds the flows, and with them the sockets, of one service.
	maxFlows = 16384
	// maxDatagram is the largest UDP payload, and some.
	maxDatagram = 1 << 16
)

// udpDoor is the socket of one service and the flows through it.
type udpDoor struct {
	conn  *net.UDPConn
	plane *Plane
	pool  *pool
	log   *slog.Logger
	idle  time.Duration
	limit int
	epoch time.Time

	buffers sync.Pool // of *[maxDatagram]byte

	mu     sync.Mutex
	closed bool
	flows  map[flowKey]*flow
	recent list.List // of *flow, the latest to hear from its client in front
}

func (p *Plane) serveUDP(conn *net.UDPConn, pool *pool) door {
	d := newUDPDoor(p, conn, pool)
	p.tasks.Go(d.serve)
	return d
}

func newUDPDoor(p *Plane, conn *net.UDPConn, pool *pool) *udpDoor {
	d := &udpDoor{
		conn:  conn,
		plane: p,
		pool:  pool,
		log:   p.log.With("service", pool.id.String()),
		idle:  flowIdle,
		limit: maxFlows,
		epoch: time.Now(),
		flows: make(map[flowKey]*flow),
	}
	d.buffers.New = func() any { return new([maxDatagram]byte) }
	return d
}

// serve hands on what clients send until the door is closed.
func (d *udpDoor) serve() {
	buf := make([]byte, maxDatagram)
	for {
		n, client, err := d.conn.ReadFromUDPAddrPort(buf)
		switch {
		case err == nil:
			d.forward(client, buf[:n])
		case errors.Is(err, net.ErrClosed):
			return
		default:
			d.log.Debug("datagram not read", "err", err)
		}
	}
}

func (d *udpDoor) forward(client netip.AddrPort, payload []byte) {
	f, err := d.flowOf(client)
	if err != nil {
		d.log.Debug("datagram dropped", "client", client, "err", err)
		return
	}
	if _, err := f.upstream.Write(payload); err != nil {
		d.log.Debug("datagram not sent", "client", client, "destination", f.dest, "err", err)
		d.drop(f) // the next one chooses anew
	}
}

// flowOf returns the client's flow. With one-packet scheduling every datagram
// is sent where the scheduler says, and a client has a flow to each destination.
func (d *udpDoor) flowOf(client netip.AddrPort) (*flow, error) {
	onePacket := d.pool.onePacket()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, net.ErrClosed
	}
	key := flowKey{client: client}
	if !onePacket {
		if f, ok := d.flows[key]; ok {
			d.touch(f)
			return f, nil
		}
	}
	dest, ok := d.pool.take(client.Addr(), nil)
	if !ok {
		return nil, errors.New("no destination")
	}
	if onePacket {
		key.dest = dest
		if f, ok := d.flows[key]; ok {
			d.pool.give(dest)
			d.touch(f)
			return f, nil
		}
	}
	return d.start(key, dest)
}

// start opens a flow whose destination counts as open already.
func (d *udpDoor) start(key flowKey, dest netip.AddrPort) (*flow, error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(dest))
	if err != nil {
		d.pool.give(dest)
		return nil, err
	}
	if len(d.flows) >= d.limit {
		d.remove(d.recent.Back().Value.(*flow))
	}
	f := &flow{key: key, dest: dest, upstream: conn}
	f.place = d.recent.PushFront(f)
	f.active.Store(int64(d.now()))
	d.flows[key] = f
	d.plane.tasks.Go(func() { d.answer(f) })
	return f, nil
}

// now is a clock that nobody sets.
func (d *udpDoor) now() time.Duration { return time.Since(d.epoch) }

func (d *udpDoor) touch(f *flow) {
	d.recent.MoveToFront(f.place)
	f.active.Store(int64(d.now()))
}

// drop ends a flow, unless it has ended.
func (d *udpDoor) drop(f *flow) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.flows[f.key] == f {
		d.remove(f)
	}
}

// remove ends a flow that is there; the lock is held.
func (d *udpDoor) remove(f *flow) {
	delete(d.flows, f.key)
	d.recent.Remove(f.place)
	f.upstream.Close()
	d.pool.give(f.dest)
}

// forget ends the destination's flows.
func (d *udpDoor) forget(dest netip.AddrPort) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.flows {
		if f.dest == dest {
			d.remove(f)
		}
	}
}

// Close closes the socket and ends all flows.
func (d *udpDoor) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for _, f := range d.flows {
		d.remove(f)
	}
	return d.conn.Close()
}
