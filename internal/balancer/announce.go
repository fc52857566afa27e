package balancer

import (
	"net/netip"

	"github.com/sluice-lb/sluice/internal/bgp"
	"github.com/sluice-lb/sluice/internal/lb"
)

// announce hands the routes of all services whose table is in force to the
// speaker, wanted ∩ applied, one route per address, and returns the services
// for which that made a difference. Services that share an address share its
// fate: one that is under its low watermark takes it away from all.
func (e *Engine) announce() (changed []*service) {
	if e.Routes == nil {
		return nil
	}
	low := map[netip.Addr]bool{}
	for _, s := range e.services {
		if s.spec.Announce && s.low() {
			low[s.id.VIP.Addr()] = true
		}
	}
	routes := []bgp.Route{}
	seen := map[netip.Addr]bool{}
	for _, s := range e.services {
		addr := s.id.VIP.Addr()
		announced := s.spec.Announce && s.inForce && !low[addr]
		if announced && !seen[addr] {
			seen[addr] = true
			routes = append(routes, bgp.Route{Prefix: netip.PrefixFrom(addr, addr.BitLen()), MED: s.spec.MED})
		}
		if announced != s.announced {
			s.announced = announced
			changed = append(changed, s)
		}
	}
	e.Routes.Set(routes)
	return changed
}

// low tells whether fewer servers are fit than the low watermark asks for.
func (s *service) low() bool { return s.fit() < s.spec.LowWatermark }

// fit counts the servers that are to serve, and could: enabled, with a weight,
// and not down. One that nobody has probed yet could.
func (s *service) fit() (n int) {
	if s.assigned == nil {
		return 0
	}
	for _, m := range s.assigned.Members {
		if m.Serving && m.Enabled && m.Weight > 0 && m.Verdict.State != lb.Down {
			n++
		}
	}
	return n
}
