// Package health finds out which servers work. It runs the configured checks
// against every server of every service and turns their results into one
// verdict per server; what follows from a verdict is decided elsewhere.
package health

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"github.com/sluice-lb/sluice/internal/lb"
)

// Event says that the verdict over one server is another one than before. A
// server that is no longer checked returns to the zero Verdict, and says so.
type Event struct {
	Service, Host string
	Verdict       lb.Verdict
}

// Dial opens a connection; the signature of [net.Dialer.DialContext].
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Runner checks servers while Run runs. Set, Remove and Verdicts may be used
// from any goroutine, before and during Run.
type Runner struct {
	log    *slog.Logger
	dial   Dial
	events chan Event
	wake   chan struct{}

	mu      sync.Mutex
	pending map[string]*task // what Run has not picked up yet; nil: remove
	latest  map[string]*task // what each service's monitors were compiled to

	ledger ledger
}

// task is what Set hands over for one service.
type task struct {
	declared []lb.Monitor
	monitors []monitor
	servers  map[string]server // by host
}

// server is one server to check.
type server struct {
	addr   netip.AddrPort // the zero one is not resolved
	weight int
}

// Option changes how a Runner works.
type Option func(*Runner)

// WithDial makes all checks connect through dial.
func WithDial(dial Dial) Option { return func(r *Runner) { r.dial = dial } }

// New returns a Runner without any servers.
func New(log *slog.Logger, opts ...Option) *Runner {
	r := &Runner{
		log:     log,
		dial:    (&net.Dialer{KeepAlive: -1}).DialContext,
		events:  make(chan Event),
		wake:    make(chan struct{}, 1),
		pending: map[string]*task{},
		latest:  map[string]*task{},
		ledger:  ledger{accounts: map[key][]*account{}},
	}
	for _, opt := range opts {
		opt(r)
	}
	return r
}

// Set hands over everything there is to check for svc: the whole set, and the
// latest one wins. Servers whose address is the same go on undisturbed as long
// as svc has the same monitors; those at a new address start over as unknown;
// those absent are let go. Disabled servers are checked too. An error means
// that svc has a monitor Validate refuses, and nothing changed.
func (r *Runner) Set(svc lb.Service, pool lb.Pool) error {
	monitors, err := r.compile(svc)
	if err != nil {
		return fmt.Errorf("service %s: %w", svc.Name, err)
	}
	t := &task{declared: svc.Monitors, monitors: monitors, servers: make(map[string]server, len(pool.Backends))}
	for _, b := range pool.Backends {
		s := server{weight: b.Weight}
		if b.Addr.IsValid() {
			s.addr = netip.AddrPortFrom(b.Addr, svc.VIP.Port())
		}
		t.servers[b.Host] = s
	}
	r.hand(svc.Name, t)
	return nil
}

// compile makes the service's monitors ready. Those that are as before are
// not made anew: an edit of a pool must not depend on the files they name.
func (r *Runner) compile(svc lb.Service) ([]monitor, error) {
	r.mu.Lock()
	before := r.latest[svc.Name]
	r.mu.Unlock()
	if before != nil && equal(before.declared, svc.Monitors) {
		return before.monitors, nil
	}
	var monitors []monitor
	for _, m := range svc.Monitors {
		ready, err := compile(m)
		if err != nil {
			return nil, err
		}
		monitors = append(monitors, ready)
	}
	return monitors, nil
}

// Remove ends all checks of the named service.
func (r *Runner) Remove(service string) { r.hand(service, nil) }

func (r *Runner) hand(service string, t *task) {
	r.mu.Lock()
	r.pending[service] = t
	if t == nil {
		delete(r.latest, service)
	} else {
		r.latest[service] = t
	}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *Runner) take() map[string]*task {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.pending
	r.pending = map[string]*task{}
	return taken
}

// Verdicts delivers an Event for every change of a verdict. A slow reader
// misses intermediate verdicts of a server, never its newest one. The channel
// is never closed.
func (r *Runner) Verdicts() <-chan Event { return r.events }

// Tallies returns what every monitor of every server under watch has found so
// far, in no order. Servers no longer watched are absent.
func (r *Runner) Tallies() []Tally { return r.ledger.all() }

// Run checks servers until ctx ends, then stops every check, waits for all of
// them and returns nil. It must be called once.
func (r *Runner) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	d := newDesk(ctx, r.log, r.dial, &r.ledger)
	defer d.running.Wait()
	defer cancel()
	for {
		var events chan<- Event
		head, news := d.out.head()
		if news {
			events = r.events
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
			for service, t := range r.take() {
				d.assign(service, t)
			}
		case f := <-d.findings:
			d.hear(f)
		case events <- head:
			d.out.sent()
		}
	}
}
