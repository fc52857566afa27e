// Package balancer is the engine: what sources and health checks say goes in,
// the wanted table, the routes and the report come out. One goroutine owns all
// of its state; its neighbours are interfaces.
package balancer

import (
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
	services []*service // sorted by identity, as a table is
	byName   map[string]*service

	version uint64           // of the last Wanted
	last    dataplane.Result // the last Result; its Version is 0 before the first
	read    bool             // the plane has been read once
}

// Judgement is a verdict over one server of one service.
type Judgement struct {
	Service, Host string
	Verdict       lb.Verdict
}

// inbox is how many messages wait for the engine before senders do.
const inbox = 1024

// countEvery is how often open connections are counted.
const countEvery = time.Second

// New returns an engine for these services.
func New(services []lb.Service, n Neighbours) *Engine {
	e := &Engine{
		Neighbours: n,
		heard:      make(chan lb.Heard, inbox),
		judged:     make(chan Judgement, inbox),
		byName:     make(map[string]*service, len(services)),
	}
	for _, svc := range services {
		s := newService(svc)
		e.services = append(e.services, s)
		e.byName[svc.Name] = s
	}
	slices.SortFunc(e.services, func(a, b *service) int { return a.id.Compare(b.id) })
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
		case r := <-e.Tables.Results():
			e.applied(r)
		case <-count.C:
			e.count()
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
		if err := e.Checks.Set(s.spec, *h.Pool); err != nil {
			e.Log.Error("checks refused", "service", h.Service, "err", err)
		}
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

// decide assigns anew and, where that changes the table, wants it. Before the
// plane has been read there is nothing to decide from: what it holds may be
// what should stay.
func (e *Engine) decide(s *service) {
	if s.pool == nil || !e.read {
		return
	}
	if s.assign() {
		e.want()
	}
	s.settle(e.last)
}

// want hands the whole wanted table to the reconciler.
func (e *Engine) want() {
	e.version++
	w := dataplane.Wanted{Version: e.version}
	for _, s := range e.services {
		if s.assigned == nil {
			w.Hold = append(w.Hold, s.id)
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
	if !e.read && r.Err == nil {
		e.start(r.Table)
		return
	}
	for _, s := range e.services {
		if s.settle(r) {
			e.publish(s)
		}
	}
	e.announce()
}

// start decides about everything heard so far, now that it is known what the
// plane held when this balancer came up.
func (e *Engine) start(held dataplane.Table) {
	e.read = true
	for _, s := range e.services {
		s.found, _ = held.Find(s.id)
		s.legacy = slices.Clone(s.found.Destinations)
		e.decide(s)
		e.publish(s)
	}
}

// announce hands the routes of all services whose table is in force to the
// speaker: wanted ∩ applied, one route per address.
func (e *Engine) announce() {
	if e.Routes == nil {
		return
	}
	routes := []bgp.Route{}
	seen := map[netip.Addr]bool{}
	for _, s := range e.services {
		addr := s.id.VIP.Addr()
		if !s.announce() || seen[addr] {
			continue
		}
		seen[addr] = true
		routes = append(routes, bgp.Route{Prefix: netip.PrefixFrom(addr, addr.BitLen()), MED: s.spec.MED})
	}
	e.Routes.Set(routes)
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

func (e *Engine) publish(s *service) { e.Board.Publish(s.report(e.Routes != nil)) }
