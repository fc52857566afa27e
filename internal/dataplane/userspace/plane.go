// Package userspace is a forwarding plane without privileges: a TCP and UDP
// proxy that listens on the virtual addresses itself, for laptops, tests and
// machines without IPVS.
//
// Of the kernel's schedulers it has rr, wrr, lc, wlc, and sh and mh as one
// consistent hash of the client's address; any other is treated as wrr. The
// forwarding method makes no difference to it. There is no SCTP.
package userspace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"github.com/sluice-lb/sluice/internal/dataplane"
)

// Plane forwards. It starts empty; Apply opens and closes its sockets.
//
// A destination that is removed, or has weight 0, gets no new connections, and
// those it has go on until they end, even after their service is gone. UDP has
// no end: the flows of a removed destination stop at once.
type Plane struct {
	log    *slog.Logger
	ledger *ledger
	tasks  sync.WaitGroup
	// ctx ends with Close: every connection hangs on it.
	ctx  context.Context
	stop context.CancelFunc

	mu       sync.Mutex
	services map[dataplane.ServiceID]*service
	closed   bool
}

// service is one virtual service: who could serve, and the socket it is open at.
type service struct {
	pool *pool
	door door
}

// door is the socket of a service.
type door interface {
	io.Closer
	// forget ends what cannot go on without its destination.
	forget(netip.AddrPort)
}

// New returns an empty plane.
func New(log *slog.Logger) *Plane {
	ctx, stop := context.WithCancel(context.Background())
	return &Plane{
		log:      log,
		ledger:   newLedger(),
		ctx:      ctx,
		stop:     stop,
		services: make(map[dataplane.ServiceID]*service),
	}
}

// Read returns the services that are open, with their destinations. It fails
// only after Close.
func (p *Plane) Read(context.Context) (dataplane.Table, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, fmt.Errorf("read table: %w", net.ErrClosed)
	}
	services := make([]dataplane.Service, 0, len(p.services))
	for _, s := range p.services {
		services = append(services, s.pool.service())
	}
	return dataplane.NewTable(services...), nil
}

// Apply carries out the plan. A service whose address cannot be bound is not
// there; its destinations are then not tried, and the one error stands for all.
func (p *Plane) Apply(_ context.Context, plan dataplane.Plan) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return fmt.Errorf("apply plan: %w", net.ErrClosed)
	}
	var errs []error
	refused := make(map[dataplane.ServiceID]bool)
	for _, op := range plan {
		if refused[op.Service.ID] {
			continue
		}
		if err := p.do(op); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", op.Describe(), err))
			refused[op.Service.ID] = op.Verb == dataplane.AddService
		}
	}
	return errors.Join(errs...)
}

func (p *Plane) do(op dataplane.Op) error {
	s, found := p.services[op.Service.ID]
	switch op.Verb {
	case dataplane.AddService:
		if !found {
			return p.open(op.Service)
		}
		s.pool.set(op.Service)
		return nil
	case dataplane.RemoveService:
		if !found {
			return nil
		}
		delete(p.services, op.Service.ID)
		return s.door.Close()
	case dataplane.RemoveDestination:
		if found {
			s.pool.remove(op.Destination.Addr)
			s.door.forget(op.Destination.Addr)
		}
		return nil
	}
	if !found {
		return errors.New("no such service")
	}
	switch op.Verb {
	case dataplane.EditService:
		s.pool.set(op.Service)
	case dataplane.AddDestination:
		s.pool.add(op.Destination)
	case dataplane.EditDestination:
		if !s.pool.edit(op.Destination) {
			return errors.New("no such destination")
		}
	default:
		return errors.New("no such verb")
	}
	return nil
}

// open binds the service's address and starts to serve.
func (p *Plane) open(settings dataplane.Service) error {
	pool := newPool(settings, p.ledger)
	var d door
	switch settings.ID.Protocol {
	case dataplane.TCP:
		l, err := listenTCP(p.ctx, settings.ID.VIP)
		if err != nil {
			return err
		}
		d = p.serveTCP(l, pool)
	case dataplane.UDP:
		conn, err := listenUDP(p.ctx, settings.ID.VIP)
		if err != nil {
			return err
		}
		d = p.serveUDP(conn, pool)
	default:
		return fmt.Errorf("protocol %q: %w", settings.ID.Protocol, errors.ErrUnsupported)
	}
	p.services[settings.ID] = &service{pool: pool, door: d}
	return nil
}

// Connections returns how many TCP connections and UDP flows are open now, by
// service and destination. Those that outlive their destination or service are
// counted to the last.
func (p *Plane) Connections() map[dataplane.ServiceID]map[netip.AddrPort]int {
	return p.ledger.snapshot()
}

// Close ends every service and connection and waits until all is quiet.
func (p *Plane) Close() error {
	p.mu.Lock()
	p.closed = true
	p.stop()
	var errs []error
	for id, s := range p.services {
		if err := s.door.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close service %s: %w", id, err))
		}
		delete(p.services, id)
	}
	p.mu.Unlock()
	p.tasks.Wait()
	return errors.Join(errs...)
}
