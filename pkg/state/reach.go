package state

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// reach knows which servers cannot be dialled at present, and why, and which
// connections there are. The client library keeps that to itself.
type reach struct {
	endpoints int
	secure    bool // a connection counts only once it has been heard through TLS
	mu        sync.Mutex
	failed    map[string]error             // by address as dialled
	conns     map[string]map[net.Conn]bool // by the server's address
}

func newReach(endpoints int) *reach {
	return &reach{endpoints: endpoints, failed: make(map[string]error), conns: make(map[string]map[net.Conn]bool)}
}

// dial connects to one server and remembers how that went.
func (r *reach) dial(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil || !r.secure {
		r.note(addr, err)
	}
	if err != nil {
		return nil, err
	}
	return dialled{r.track(conn), addr}, nil
}

// note remembers how far the last attempt to reach a server came.
func (r *reach) note(addr string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.failed[addr] = err
	} else {
		delete(r.failed, addr)
	}
}

// track keeps a connection at hand until it is closed.
func (r *reach) track(conn net.Conn) net.Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	server := conn.RemoteAddr().String()
	if r.conns[server] == nil {
		r.conns[server] = make(map[net.Conn]bool)
	}
	kept := &trackedConn{Conn: conn, closed: func(c net.Conn) {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.conns[server], c)
	}}
	r.conns[server][kept] = true
	return kept
}

// trackedConn tells when it is closed.
type trackedConn struct {
	net.Conn
	closed func(net.Conn)
}

// Close closes the connection.
func (c *trackedConn) Close() error {
	c.closed(c)
	return c.Conn.Close()
}

// drop closes all connections to a server.
func (r *reach) drop(server string) {
	r.mu.Lock()
	conns := slices.Collect(maps.Keys(r.conns[server]))
	r.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
}

// down returns why not one server can be dialled, or nil if one can.
func (r *reach) down() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.failed) < r.endpoints {
		return nil
	}
	errs := make([]error, 0, len(r.failed))
	for _, err := range r.failed {
		errs = append(errs, err)
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// pulse asks the server once a second for a sign of life on behalf of all
// watches of a store: they share one stream, and the answer goes to each.
type pulse struct {
	mu      sync.Mutex
	watches int
	stop    context.CancelFunc
}

// beat is how often the sign of life is asked for.
const beat = time.Second

// join adds a watch; the returned function takes it away again.
func (p *pulse) join(client *clientv3.Client) (leave func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.watches++; p.watches == 1 {
		ctx, cancel := context.WithCancel(context.Background())
		p.stop = cancel
		go ask(ctx, client)
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.watches--; p.watches == 0 {
			p.stop()
		}
	}
}

// ask requests progress until ctx ends. Its failures need no handling: what
// matters is whether an answer reaches the watches.
func ask(ctx context.Context, client *clientv3.Client) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		one, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), beat)
		_ = client.RequestProgress(one)
		cancel()
	}
}
