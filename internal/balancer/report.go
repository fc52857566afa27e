package balancer

import (
	"github.com/sluice-lb/sluice/internal/coordinator"
	"github.com/sluice-lb/sluice/internal/lb"
	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// report is what the balancer says about the service now.
func (s *service) report() lbstatus.Report {
	r := lbstatus.Report{
		Pool:           s.spec.Name,
		VIP:            s.id.String(),
		Seen:           s.seen,
		Applied:        s.revision,
		Announced:      s.announced,
		Threshold:      s.spec.Threshold,
		LowWatermark:   s.spec.LowWatermark,
		Fit:            s.fit(),
		CouldNotDepool: s.held,
		Source:         s.source,
		Error:          s.trouble,
		Members:        []lbstatus.Member{},
	}
	if s.assigned == nil {
		return r
	}
	r.CanDepool = s.assigned.CanDepool
	for _, m := range s.assigned.Members {
		r.Members = append(r.Members, s.member(m))
	}
	return r
}

func (s *service) member(m coordinator.Member) lbstatus.Member {
	addr := s.address(m.Backend)
	out := lbstatus.Member{
		Host:        m.Host,
		Weight:      m.Weight,
		Enabled:     m.Enabled,
		Up:          health(m.Verdict.State),
		Partial:     m.Verdict.Partial,
		Health:      m.Verdict.Reason,
		Pooled:      s.holds(m.Backend),
		Held:        m.Held,
		Reason:      m.Reason,
		Connections: s.connections[addr],
		Revision:    m.Revision,
	}
	if _, rising := s.rising[m.Host]; rising {
		d, _ := s.destination(m.Backend)
		out.Rising = d.Weight
	}
	if m.Addr.IsValid() {
		out.Address = addr.String()
	}
	return out
}

func health(s lb.State) lbstatus.Up {
	switch s {
	case lb.Up:
		return lbstatus.UpYes
	case lb.Down:
		return lbstatus.UpNo
	case lb.Unknown:
	}
	return lbstatus.UpUnknown
}
