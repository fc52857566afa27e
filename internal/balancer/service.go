package balancer

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/sluice-lb/sluice/internal/coordinator"
	"github.com/sluice-lb/sluice/internal/dataplane"
	"github.com/sluice-lb/sluice/internal/lb"
	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// service is all the engine knows about one service.
type service struct {
	spec lb.Service
	id   dataplane.ServiceID

	// said and judged
	pool     *lb.Pool // nil until a source has spoken
	seen     int64
	source   lbstatus.SourceStatus
	verdicts lb.Verdicts

	// decided
	assigned *coordinator.Assignment // nil until decided
	wanted   dataplane.Service
	rising   map[string]time.Time // since when servers are on their way to full weight
	version  uint64               // of the first Wanted with this table; 0: not handed over yet
	held     uint64               // times a server was held by the threshold

	// true in the plane
	heldSince uint64                  // the first Wanted that had it on hold
	known     bool                    // what the plane held before us has been read
	found     dataplane.Service       // what the plane holds
	legacy    []dataplane.Destination // held at the start, not yet known to be whose
	inForce   bool                    // a table of ours was applied
	revision  int64                   // the pool's revision that is in force
	trouble   string                  // why the plane is behind
	announced bool                    // routers are told about the address

	connections map[netip.AddrPort]int
}

func newService(spec lb.Service) *service {
	return &service{
		spec:     spec,
		id:       dataplane.ServiceID{Protocol: dataplane.Protocol(spec.Protocol), VIP: spec.VIP},
		source:   lbstatus.SourceStatus{URL: spec.Source, Revisions: revisions(spec)},
		verdicts: lb.Verdicts{},
		rising:   map[string]time.Time{},
	}
}

// revisions says whose count the revisions of the service's pools are.
func revisions(spec lb.Service) lbstatus.Revisions {
	if spec.LocalRevisions {
		return lbstatus.LocalRevisions
	}
	return lbstatus.StoreRevisions
}

// respecify takes over a new specification of the same address. A pool from
// another source has to be heard anew; until then the last one serves.
func (s *service) respecify(spec lb.Service) {
	if spec.Source != s.spec.Source {
		s.source = lbstatus.SourceStatus{URL: spec.Source, Revisions: revisions(spec)}
		s.seen, s.revision = 0, 0
		if s.pool != nil {
			pool := *s.pool
			pool.Revision = 0 // those of another source mean something else
			s.pool = &pool
		}
	}
	s.spec = spec
}

// begin takes in what the plane held before this service was ours to decide
// about, once that has been read.
func (s *service) begin(r dataplane.Result) bool {
	if !r.Known || s.heldSince == 0 || r.Version < s.heldSince {
		return false
	}
	s.known = true
	s.found, _ = r.Table.Find(s.id)
	s.legacy = slices.Clone(s.found.Destinations)
	return true
}

// listen notes what was heard and when.
func (s *service) listen(h lb.Heard, now time.Time) {
	s.source.Error = h.Err
	if h.Revision != 0 {
		s.seen = h.Revision
		s.source.Heard = now
	}
	if !h.At.IsZero() {
		s.source.Heard = h.At
	}
	if h.Revision == 0 || h.Pool != nil || h.Err != "" || s.assigned == nil {
		return
	}
	// All is quiet: the pool in force is complete up to this revision too.
	pool := *s.pool
	pool.Revision = h.Revision
	s.pool = &pool
	if s.revision == s.assigned.Revision && s.inForce {
		s.revision = h.Revision
	}
	s.assigned.Revision = h.Revision
}

// forget drops the verdicts over servers that left the pool: should one come
// back, it is unknown.
func (s *service) forget(pool lb.Pool) {
	for host := range s.verdicts {
		if _, listed := pool.Backend(host); !listed {
			delete(s.verdicts, host)
		}
	}
}

// assign decides who serves and reports whether that changes the wanted table.
func (s *service) assign() (changed bool) {
	before := s.before()
	now := coordinator.Assign(s.spec, *s.pool, s.verdicts, before)
	s.held += newlyHeld(before, now)
	first := s.assigned == nil
	s.assigned = &now
	s.rise(before, now, time.Now())
	return s.tabulate(first)
}

// tabulate makes the wanted table of the decision and reports whether that is
// another one; the first is.
func (s *service) tabulate(first bool) (changed bool) {
	wanted := s.table(*s.assigned, time.Now())
	if !first && wanted.Equal(s.wanted) {
		return false
	}
	s.wanted, s.version = wanted, 0
	return true
}

// before is the decision that holds so far: the last one, where a server whose
// name has been resolved since served if the plane held it from the start.
func (s *service) before() *coordinator.Assignment {
	if s.assigned == nil {
		return s.inherited()
	}
	if len(s.legacy) == 0 {
		return s.assigned
	}
	before := *s.assigned
	before.Members = slices.Clone(before.Members)
	for i := range before.Members {
		m := &before.Members[i]
		if b, listed := s.pool.Backend(m.Host); listed && !m.Addr.IsValid() && b.Addr.IsValid() {
			m.Serving = s.holds(b)
		}
	}
	return &before
}

// inherited makes a decision of what the plane held when this balancer came
// up: whoever was in it served. An empty plane leaves nothing to go by.
func (s *service) inherited() *coordinator.Assignment {
	if len(s.found.Destinations) == 0 {
		return nil
	}
	was := &coordinator.Assignment{Service: s.spec.Name}
	for _, b := range s.pool.Backends {
		was.Members = append(was.Members, coordinator.Member{Backend: b, Serving: s.holds(b), Reason: "found in the table"})
	}
	return was
}

// holds tells whether the plane has the backend. One whose name is not resolved
// may be any of the legacy: that it is out is not known, so it is not said.
func (s *service) holds(b lb.Backend) bool {
	if !b.Addr.IsValid() {
		return len(s.legacy) > 0
	}
	_, ok := s.destination(b)
	return ok
}

// destination is the backend as the plane has it.
func (s *service) destination(b lb.Backend) (dataplane.Destination, bool) {
	i, ok := slices.BinarySearchFunc(s.found.Destinations, s.address(b), func(d dataplane.Destination, addr netip.AddrPort) int {
		return d.Addr.Compare(addr)
	})
	if !ok {
		return dataplane.Destination{}, false
	}
	return s.found.Destinations[i], true
}

func newlyHeld(before *coordinator.Assignment, now coordinator.Assignment) (n uint64) {
	was := map[string]bool{}
	if before != nil {
		for _, m := range before.Members {
			was[m.Host] = m.Held
		}
	}
	for _, m := range now.Members {
		if m.Held && !was[m.Host] {
			n++
		}
	}
	return n
}

// table makes the plane's service of a decision.
func (s *service) table(a coordinator.Assignment, now time.Time) dataplane.Service {
	t := dataplane.Service{ID: s.id, Scheduler: s.spec.Scheduler, OnePacket: s.spec.OnePacket}
	s.account(a)
	t.Destinations = append(t.Destinations, s.legacy...)
	forward := dataplane.Direct
	if s.spec.Tunnel {
		forward = dataplane.Tunnel
	}
	for _, m := range a.Members {
		if m.Serving {
			t.Destinations = append(t.Destinations, dataplane.Destination{
				Addr: s.address(m.Backend), Weight: s.weight(m, now), Forward: forward,
			})
		}
	}
	return dataplane.NewTable(t)[0]
}

// account strikes from the legacy what turns out to be a server's, and all of it
// once every name is resolved. Until then a destination nobody claims may be
// the server whose name DNS does not tell: it stays.
func (s *service) account(a coordinator.Assignment) {
	unresolved := false
	claimed := map[netip.AddrPort]bool{}
	for _, m := range a.Members {
		unresolved = unresolved || !m.Addr.IsValid()
		claimed[s.address(m.Backend)] = true
	}
	s.legacy = slices.DeleteFunc(s.legacy, func(d dataplane.Destination) bool {
		return !unresolved || claimed[d.Addr]
	})
}

// address is where a backend is reached: on the service's own port.
func (s *service) address(b lb.Backend) netip.AddrPort {
	return netip.AddrPortFrom(b.Addr, s.spec.VIP.Port())
}

// settle compares the decision with what the plane holds and reports whether
// that changed what is known to be true.
func (s *service) settle(r dataplane.Result) (changed bool) {
	found, ok := r.Table.Find(s.id)
	changed = !found.Equal(s.found)
	s.found = found
	// A table that looks right but is older than our wish for it may be about
	// to be replaced by one wanted in between.
	current := s.assigned != nil && s.version != 0 && r.Version >= s.version && r.Known
	trouble := ""
	switch {
	case current && ok && found.Equal(s.wanted):
		changed = changed || s.revision != s.assigned.Revision
		s.inForce, s.revision = true, s.assigned.Revision
	case r.Err != nil:
		trouble = r.Err.Error()
	}
	changed = changed || trouble != s.trouble
	s.trouble = trouble
	return changed
}

// countConnections takes over new counts and reports whether they differ.
func (s *service) countConnections(counts map[netip.AddrPort]int) bool {
	if maps.Equal(counts, s.connections) {
		return false
	}
	s.connections = counts
	return true
}
