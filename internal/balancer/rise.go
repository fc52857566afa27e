package balancer

import (
	"maps"
	"time"

	"github.com/sluice-lb/sluice/internal/coordinator"
)

// rise notes which servers have come (back) into service: with a slow start
// they get to their full weight little by little. Where nothing is known about
// the past nobody has come: there is nobody to take the load meanwhile.
func (s *service) rise(before *coordinator.Assignment, a coordinator.Assignment, now time.Time) {
	served := map[string]bool{}
	if before != nil {
		for _, m := range before.Members {
			served[m.Host] = takesConnections(m)
		}
	}
	rising := map[string]time.Time{}
	for _, m := range a.Members {
		since, already := s.rising[m.Host]
		switch {
		case s.spec.SlowStart == 0 || before == nil || !takesConnections(m) || m.Weight == 1:
		case already:
			rising[m.Host] = since
		case !served[m.Host]:
			rising[m.Host] = now
		}
	}
	s.rising = rising
}

func takesConnections(m coordinator.Member) bool { return m.Serving && m.Weight > 0 }

// weight is a server's weight for now: a share of its own that grows with the
// time since it came, and at least 1.
func (s *service) weight(m coordinator.Member, now time.Time) int {
	since, rising := s.rising[m.Host]
	if !rising {
		return m.Weight
	}
	grown := float64(m.Weight) * float64(now.Sub(since)) / float64(s.spec.SlowStart)
	return max(1, min(m.Weight, int(grown)))
}

// raise gives those that are on their way the weight they have come to.
func (e *Engine) raise() {
	now, changed := time.Now(), false
	for _, s := range e.services {
		if len(s.rising) == 0 || s.assigned == nil {
			continue
		}
		changed = s.tabulate(false) || changed
		rising := len(s.rising)
		maps.DeleteFunc(s.rising, func(_ string, since time.Time) bool { return now.Sub(since) >= s.spec.SlowStart })
		if len(s.rising) < rising {
			e.publish(s)
		}
	}
	if changed {
		e.want()
	}
}
