package script_test

import (
	"context"
	"net"
	"net/http"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// link is a way to the store at $NET.201:2379 that a script can spoil.
type link struct {
	target   string
	listener net.Listener
	web      *http.Server

	mu    sync.Mutex
	flows *sync.Cond
	mode  string // what becomes of a connection: "open", "reset", "500" or "empty"
	hung  bool
	conns []net.Conn
}

// etcdLink does one of these:
//
//	open       connections lead to the store; those that do not are closed
//	cut        reset every connection there is
//	reset      the same, and every later one
//	500        the same, and answer later ones with status 500
//	empty      the same, and answer later ones with an empty 200
//	hang       deliver nothing any more, in either direction
//	resume     deliver again
//	compact    compact the store's history, past this link
func (w *world) etcdLink(ts *testscript.TestScript, verb string) {
	k := w.cases.link
	if k == nil {
		var err error
		k, err = newLink(w.net+".201:2379", w.etcdAddr())
		ts.Check(err)
		w.cases.link = k
	}
	switch verb {
	case "hang", "resume":
		k.set(func() { k.hung = verb == "hang" })
	case "cut":
		k.cut()
	case "open", "reset", "500", "empty":
		k.set(func() { k.mode = verb })
		k.cut()
	case "compact":
		w.store3(ts, func(ctx context.Context, c *clientv3.Client) error {
			now, err := c.Get(ctx, "any")
			if err != nil {
				return err
			}
			_, err = c.Compact(ctx, now.Header.Revision)
			return err
		})
	default:
		ts.Fatalf("etcdlink: no such verb %q", verb)
	}
}

func newLink(addr, target string) (*link, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	k := &link{target: target, listener: l, mode: "open"}
	k.flows = sync.NewCond(&k.mu)
	inner := &passed{conns: make(chan net.Conn), addr: l.Addr(), done: make(chan struct{})}
	k.web = &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		if k.now() == "500" {
			rw.WriteHeader(http.StatusInternalServerError)
		}
	}), Protocols: new(http.Protocols)}
	k.web.Protocols.SetUnencryptedHTTP2(true)
	k.web.Protocols.SetHTTP1(true)
	go func() { _ = k.web.Serve(inner) }()
	go k.accept(inner)
	return k, nil
}

// passed is a listener of connections that others have accepted.
type passed struct {
	conns chan net.Conn
	addr  net.Addr
	done  chan struct{}
	once  sync.Once
}

func (p *passed) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *passed) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *passed) Addr() net.Addr { return p.addr }

func (k *link) accept(web *passed) {
	for {
		in, err := k.listener.Accept()
		if err != nil {
			return
		}
		switch k.now() {
		case "reset":
			k.keep(in)
			k.cut()
		case "500", "empty":
			k.keep(in)
			select {
			case web.conns <- in:
			case <-web.done:
				return
			}
		default:
			out, err := net.Dial("tcp", k.target)
			if err != nil {
				_ = in.Close()
				continue
			}
			k.keep(in, out)
			go k.carry(in, out)
			go k.carry(out, in)
		}
	}
}

func (k *link) carry(from, to net.Conn) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		k.mu.Lock()
		for k.hung {
			k.flows.Wait()
		}
		k.mu.Unlock()
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (k *link) now() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.mode
}

func (k *link) set(do func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	do()
	k.flows.Broadcast()
}

func (k *link) keep(conns ...net.Conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.conns = append(k.conns, conns...)
}

// cut resets all connections.
func (k *link) cut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.conns {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
	k.conns = nil
}

func (k *link) close() {
	_ = k.listener.Close()
	_ = k.web.Close()
	k.set(func() { k.hung = false })
	k.cut()
}
