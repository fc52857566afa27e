package coordinator

import (
	"cmp"
	"slices"

	"github.com/sluice-lb/sluice/internal/lb"
)

// Assign decides who serves svc. It depends on its arguments alone, and fed
// its own answer with nothing else changed it answers the same again.
//
// previous is the decision in force; nil when nothing is known about the past
// (a cold start), which counts every enabled server as having served.
//
// Up servers serve. Unknown ones keep the place they have; a new one waits for
// its first check, unless the pool is short of servers. Down and disabled ones
// go as long as those that remain usable are at least the threshold's share of
// all listed servers; the others are held. Disabled servers are not protected
// under [lb.HonourDepool], and one that is out never comes back by itself:
// somebody may have been told that it is out.
func Assign(svc lb.Service, pool lb.Pool, verdicts lb.Verdicts, previous *Assignment) Assignment {
	need := float64(len(pool.Backends)) * svc.Threshold
	candidates := stand(svc, pool, verdicts, previous)
	dismiss(candidates, need)
	fill(candidates, need)

	a := Assignment{
		Service:  svc.Name,
		Revision: pool.Revision,
		Members:  make([]Member, len(candidates)),
	}
	healthy := 0
	for i, c := range candidates {
		a.Members[i] = c.Member
		if c.healthy() {
			healthy++
		}
	}
	a.CanDepool = float64(healthy) >= need
	return a
}

// candidate is a Member in the making.
type candidate struct {
	Member
	standing standing
	// fresh marks a leaver that served of right until now. Until its own turn
	// it counts as usable, so that many failures in one call end as they would
	// have ended one after another.
	fresh bool
}

// standing is a candidate's claim to serve, before the threshold is looked at.
type standing uint8

const (
	outside  standing = iota // does not serve, and nothing can call it in
	spare                    // enabled but does not serve: may be called in to fill up
	entitled                 // serves
	leaving                  // serves, and goes if the threshold allows
)

// healthy is PyBal's up∧enabled, with its optimism: not known to be down.
func (c *candidate) healthy() bool {
	return c.Enabled && c.Addr.IsValid() && c.Verdict.State != lb.Down
}

// dead tells a leaver that serves nobody from one that still could.
func (c *candidate) dead() bool { return c.Verdict.State == lb.Down }

// stand gives every server of the pool its standing, in the pool's order.
func stand(svc lb.Service, pool lb.Pool, verdicts lb.Verdicts, previous *Assignment) []candidate {
	past := remember(previous)
	candidates := make([]candidate, len(pool.Backends))
	for i, b := range pool.Backends {
		served, held := past(b)
		c := candidate{Member: Member{Backend: b, Verdict: verdicts[b.Host]}, fresh: !held}
		c.standing, c.Reason = judge(svc, b, c.Verdict, served)
		c.Serving = c.standing == entitled || c.standing == leaving
		candidates[i] = c
	}
	return candidates
}

// remember returns what the previous decision says about a server: whether it
// served, and whether only because it was held.
func remember(previous *Assignment) func(lb.Backend) (served, held bool) {
	if previous == nil {
		return func(b lb.Backend) (bool, bool) { return b.Enabled, false }
	}
	members := make(map[string]*Member, len(previous.Members))
	for i := range previous.Members {
		members[previous.Members[i].Host] = &previous.Members[i]
	}
	return func(b lb.Backend) (bool, bool) {
		m, ok := members[b.Host]
		return ok && m.Serving, ok && m.Serving && m.Held
	}
}

// judge says what one server may claim, and why.
func judge(svc lb.Service, b lb.Backend, v lb.Verdict, served bool) (standing, string) {
	switch {
	case !b.Addr.IsValid():
		return outside, ReasonUnresolved
	case !b.Enabled && (!served || svc.Admin == lb.HonourDepool):
		return outside, ReasonDisabled
	case !b.Enabled:
		return leaving, ReasonDisabled
	case v.State == lb.Up:
		return entitled, ReasonUp
	case v.State == lb.Down && served:
		return leaving, because(v)
	case v.State == lb.Down:
		return spare, because(v)
	case served:
		return entitled, ReasonUnknown
	}
	return spare, ReasonUnproven
}

// because is the reason of a down server that does not serve.
func because(v lb.Verdict) string {
	if v.Reason == "" {
		return ReasonDown
	}
	return ReasonDown + ": " + v.Reason
}

// dismiss takes out the leavers one after another while what remains usable is
// enough, and holds the others. Enabled servers that are neither down nor
// leaving are always usable; a fresh leaver is until its turn; and to a dead
// leaver so are the disabled ones that live: they are kept in its place.
func dismiss(candidates []candidate, need float64) {
	var entitledNow, freshDead, freshAlive, alive int
	for i := range candidates {
		switch c := &candidates[i]; {
		case c.standing == entitled:
			entitledNow++
		case c.standing != leaving:
		case c.dead():
			freshDead += one(c.fresh)
		default:
			alive++
			freshAlive += one(c.fresh)
		}
	}
	for _, c := range leavers(candidates) {
		rest := entitledNow
		if c.dead() {
			freshDead -= one(c.fresh)
			rest += freshDead + alive
		} else {
			freshAlive -= one(c.fresh)
			rest += freshAlive
		}
		if float64(rest) >= need {
			c.Serving = false
		} else {
			c.Held, c.Reason = true, ReasonHeld
		}
	}
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// leavers returns the candidates that want out in the order they are let go:
// dead enabled ones by name, dead disabled ones, living disabled ones. Among
// disabled ones, whoever was disabled last stays longest.
func leavers(candidates []candidate) []*candidate {
	var all []*candidate
	for i := range candidates {
		if candidates[i].standing == leaving {
			all = append(all, &candidates[i])
		}
	}
	slices.SortFunc(all, func(a, b *candidate) int {
		if order := cmp.Compare(rank(a), rank(b)); order != 0 {
			return order
		}
		if !a.Enabled && a.Revision != b.Revision {
			return cmp.Compare(a.Revision, b.Revision)
		}
		return cmp.Compare(a.Host, b.Host)
	})
	return all
}

func rank(c *candidate) int {
	switch {
	case c.Enabled:
		return 0
	case c.dead():
		return 1
	}
	return 2
}

// fill calls in spare servers, unknown before down, while fewer serve than the
// threshold asks for: PyBal master's way to keep a pool from running dry after
// an edit.
func fill(candidates []candidate, need float64) {
	serving := 0
	for i := range candidates {
		serving += one(candidates[i].Serving)
	}
	for _, state := range []lb.State{lb.Unknown, lb.Down} {
		for i := range candidates {
			c := &candidates[i]
			if c.standing != spare || c.Verdict.State != state {
				continue
			}
			if float64(serving) >= need {
				return
			}
			c.Serving, c.Reason = true, ReasonUnknown
			if state == lb.Down {
				c.Held, c.Reason = true, ReasonHeld
			}
			serving++
		}
	}
}
