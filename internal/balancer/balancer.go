// Package balancer is the engine: what sources and health checks say goes in,
// the wanted table, the routes and the report come out. One goroutine owns all
// of its state; its neighbours are interfaces.
package balancer

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/sluice-lb/sluice/internal/bgp"
	"github.com/sluice-lb/sluice/internal/dataplane"
	"github.com/sluice-lb/sluice/internal/lb"
	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// Tables brings the plane to a wanted table and says what came of it.
// *dataplane.Reconciler is one.
type Tables interface {
	Set(dataplane.Wanted)
	Results() <-chan dataplane.Result
}

// Checks probes the servers of a service; what it finds comes back through
// Engine.Judge. *health.Runner is one.
type Checks interface {
	Set(lb.Service, lb.Pool) error
	Remove(service string)
}

// Routes announces exactly the routes it was last given. *bgp.Speaker is one.
type Routes interface {
	Set([]bgp.Route)
}

// Connections counts open connections per service and destination.
type Connections func() map[dataplane.ServiceID]map[netip.AddrPort]int

// Neighbours are what an Engine works with.
type Neighbours struct {
	Tables Tables
	Checks Checks
	// Routes may be nil: nothing is announced.
	Routes Routes
	// Connections may be nil: nothing is counted.
	Connections Connections
	// Board receives a report of every service after each change.
	Board *lbstatus.Board
	Log   *slog.Logger
}

// Engine is one balancer's mind.
type Engine struct {
	Neighbours
	heard    chan lb.Heard
	judged   chan Judgement
	declared chan declaration
	pings    chan struct{}
	services []*service // sorted by identity, as a table is
	byName   map[string]*service

	version uint64           // of the last Wanted
	last    dataplane.Result // the last Result; its Version is 0 before the first
}

// Judgement is a verdict over one server of one service.
type Judgement struct {
	Service, Host string
	Verdict       lb.Verdict
}

// inbox is how many messages wait for the engine before senders do.
const inbox = 1024

// countEvery is how often open connections are counted, and slow starters get
// more weight.
const countEvery = time.Second

// New returns an engine for these services.
func New(services []lb.Service, n Neighbours) *Engine {
	e := &Engine{
		Neighbours: n,
		heard:      make(chan lb.Heard, inbox),
		judged:     make(chan Judgement, inbox),
		declared:   make(chan declaration),
		pings:      make(chan struct{}),
	}
	e.declare(services)
	return e
}

// Hear takes what a source says. It blocks while the engine is busy, but not
// beyond the end of ctx.
func (e *Engine) Hear(ctx context.Context, h lb.Heard) {
	select {
	case e.heard <- h:
	case <-ctx.Done():
	}
}

// Judge takes a verdict, in the same way.
func (e *Engine) Judge(ctx context.Context, j Judgement) {
	select {
	case e.judged <- j:
	case <-ctx.Done():
	}
}

// Declare replaces the services: what stays the same is not touched, what is
// new starts like any other, what is gone leaves the plane. It returns when that
// is so: what is heard from then on is about the new services. Whoever follows
// a source that is not to be heard any more has to stop before.
func (e *Engine) Declare(ctx context.Context, services []lb.Service) {
	d := declaration{services, make(chan struct{})}
	select {
	case e.declared <- d:
		<-d.done
	case <-ctx.Done():
	}
}

// declaration is a new set of services; done is closed when it is in force.
type declaration struct {
	services []lb.Service
	done     chan struct{}
}

// Run works until ctx ends. The plane and the routes are left as they are:
// stopping a balancer's mind must not stop its traffic.
func (e *Engine) Run(ctx context.Context) error {
	for _, s := range e.services {
		e.publish(s)
	}
	e.want() // all on hold: read the plane first
	count := time.NewTicker(countEvery)
	defer count.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case h := <-e.heard:
			e.hear(h)
		case j := <-e.judged:
			e.judge(j)
		case d := <-e.declared:
			e.redeclare(d.services)
			close(d.done)
		case r := <-e.Tables.Results():
			e.applied(r)
		case <-count.C:
			e.count()
			e.raise()
		case <-e.pings:
		}
	}
}

// hear takes in what a source said about one service.
func (e *Engine) hear(h lb.Heard) {
	s, ok := e.byName[h.Service]
	if !ok {
		return
	}
	s.listen(h, time.Now())
	if h.Pool != nil {
		s.pool = h.Pool
		s.forget(*h.Pool)
		e.check(s)
		e.decide(s)
	}
	e.publish(s)
}

// judge takes in one verdict.
func (e *Engine) judge(j Judgement) {
	s, ok := e.byName[j.Service]
	if !ok || s.verdicts[j.Host] == j.Verdict {
		return
	}
	s.verdicts[j.Host] = j.Verdict
	e.decide(s)
	e.publish(s)
}

// declare makes services the engine's own. One whose name and address are those
// of a service at hand goes on as that.
func (e *Engine) declare(services []lb.Service) {
	old := e.byName
	e.services, e.byName = nil, make(map[string]*service, len(services))
	for _, svc := range services {
		s := newService(svc)
		if was, ok := old[svc.Name]; ok && was.id == s.id {
			s = was
			s.respecify(svc)
		}
		e.services = append(e.services, s)
		e.byName[svc.Name] = s
	}
	slices.SortFunc(e.services, func(a, b *service) int { return a.id.Compare(b.id) })
}

// redeclare carries a new declaration through.
func (e *Engine) redeclare(services []lb.Service) {
	for len(e.heard) > 0 { // from sources that have been stopped since
		e.hear(<-e.heard)
	}
	old := e.byName
	e.declare(services)
	names := make([]string, len(services))
	for i, svc := range services {
		names[i] = svc.Name
	}
	e.Board.SetPools(names...)
	for name := range old {
		if e.byName[name] != old[name] {
			e.Checks.Remove(name)
		}
	}
	for _, s := range e.services {
		if old[s.spec.Name] != s || s.pool == nil {
			continue
		}
		e.check(s)
		if s.known {
			s.assign()
			s.version = 0 // want speaks for all
		}
	}
	e.want()
	for _, s := range e.services {
		e.publish(s)
	}
}

// check hands the servers of a service to the health checks.
func (e *Engine) check(s *service) {
	if err := e.Checks.Set(s.spec, *s.pool); err != nil {
		e.Log.Error("checks refused", "service", s.spec.Name, "err", err)
	}
}

// decide assigns anew and, where that changes the table, wants it. Before it is
// known what the plane holds for the service there is nothing to decide from:
// that may be what should stay.
func (e *Engine) decide(s *service) {
	if s.pool == nil || !s.known {
		return
	}
	low := s.low()
	if s.assign() {
		e.want()
	}
	s.settle(e.last)
	if s.low() != low {
		e.publishAll(e.announce())
	}
}

// want hands the whole wanted table to the reconciler.
func (e *Engine) want() {
	e.version++
	w := dataplane.Wanted{Version: e.version}
	for _, s := range e.services {
		if s.assigned == nil {
			w.Hold = append(w.Hold, s.id)
			s.heldSince = cmp.Or(s.heldSince, e.version)
			continue
		}
		w.Table = append(w.Table, s.wanted)
		if s.version == 0 {
			s.version = e.version
		}
	}
	e.Tables.Set(w)
}

// applied takes in what came of a wanted table.
func (e *Engine) applied(r dataplane.Result) {
	e.last = r
	var changed []*service
	for _, s := range e.services {
		switch {
		case !s.known && s.begin(r):
			e.decide(s)
			changed = append(changed, s)
		case s.settle(r):
			changed = append(changed, s)
		}
	}
	e.publishAll(append(changed, e.announce()...))
}

// count brings the connection counts of all reports up to date.
func (e *Engine) count() {
	if e.Connections == nil {
		return
	}
	counts := e.Connections()
	for _, s := range e.services {
		if s.countConnections(counts[s.id]) {
			e.publish(s)
		}
	}
}

func (e *Engine) publish(s *service) { e.Board.Publish(s.report()) }

func (e *Engine) publishAll(services []*service) {
	for _, s := range services {
		e.publish(s)
	}
}
