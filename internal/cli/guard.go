package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-lb/sluice/pkg/lbverify"
	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// guardReport is what a change would do to the pools it touches, by what their
// balancers say.
type guardReport struct {
	// lines are the pools at their balancers that can bear it, one line each,
	// with numbers.
	lines []string
	// refused are the lines of those that would be left with too little.
	refused []string
	// silent name the balancers that could not be asked, and why. They do not
	// block.
	silent []string
}

// guardTimeout is how long the guard waits for a balancer.
const guardTimeout = 2 * time.Second

// guard works out what the mutations would do to every pool that balancers
// serve. Its error means that nobody could find out who the balancers are;
// whether to go on is for refusal to say. Mutations that take nothing out of
// any pool are not asked about.
func (s *session) guard(ctx context.Context, muts []state.Mutation) (guardReport, error) {
	shifts := s.shifts(muts)
	if !slices.ContainsFunc(shifts, func(p poolShift) bool { return p.Takes() }) {
		return guardReport{}, nil
	}
	return s.foreseen(ctx, muts, shifts)
}

// preview is guard for a dry run: it asks about every pool touched.
func (s *session) preview(ctx context.Context, muts []state.Mutation) (guardReport, error) {
	return s.foreseen(ctx, muts, s.shifts(muts))
}

// foreseen is what the balancers say, and what was agreed upon.
func (s *session) foreseen(ctx context.Context, muts []state.Mutation, shifts []poolShift) (guardReport, error) {
	g, err := s.foresee(ctx, shifts)
	if err != nil {
		return g, err
	}
	below, err := s.floors(ctx, muts)
	g.refused = append(g.refused, below...)
	return g, err
}

// refusal is the usage error of a change that must not be made without
// --force, with one line per pool; nil where nothing speaks against it.
func (g guardReport) refusal() error {
	if len(g.refused) == 0 {
		return nil
	}
	return withExit(exitUsage, fmt.Errorf("refused, nothing was written (--force writes it all the same):\n  %s", strings.Join(g.refused, "\n  ")))
}

// poolShift is what a change does to the objects of one source.
type poolShift struct {
	source string
	lbverify.Shift
}

// shifts sorts the mutations by the pools they change.
func (s *session) shifts(muts []state.Mutation) []poolShift {
	var shifts []poolShift
	for _, m := range muts {
		before, after := standings(m)
		if before == after {
			continue
		}
		source := s.store.SourceOf(m.Object.Type, m.Object.Key)
		i := slices.IndexFunc(shifts, func(p poolShift) bool { return p.source == source })
		if i < 0 {
			i = len(shifts)
			shifts = append(shifts, poolShift{source: source})
		}
		host := m.Object.Key.Name
		switch p := &shifts[i]; {
		case after == absent:
			p.Gone = append(p.Gone, host)
		case after == serving:
			p.Coming = append(p.Coming, host)
		case after < before:
			p.Leaving = append(p.Leaving, host)
		}
	}
	return shifts
}

// standing is an object's place in its pool. Less takes less traffic.
type standing int

const (
	absent standing = iota
	disabled
	weightless
	serving
)

// standingOf reads an object's place from its value; nil is a deleted one. What
// cannot be read has the place it is about to get: nothing is known of it.
func standingOf(raw []byte) (standing, bool) {
	if raw == nil {
		return absent, true
	}
	v, err := objects.ParseNode(raw)
	switch {
	case err != nil:
		return absent, false
	case v.Pooled == "inactive":
		return absent, true
	case v.Pooled == "no":
		return disabled, true
	case v.Weight == 0:
		return weightless, true
	}
	return serving, true
}

// standings are an object's places before and after a mutation. A mutation that
// cannot be worked out will be refused for that.
func standings(m state.Mutation) (before, after standing) {
	before, ok := standingOf(m.Object.Raw)
	raw, err := m.After()
	after, known := standingOf(raw)
	switch {
	case err != nil || !known:
		return before, before
	case !ok:
		return serving, after
	}
	return before, after
}

// foresee asks every balancer of the pools and adds up.
func (s *session) foresee(ctx context.Context, shifts []poolShift) (guardReport, error) {
	if len(shifts) == 0 {
		return guardReport{}, nil
	}
	m, err := s.balancers(ctx)
	if err != nil {
		return guardReport{}, err
	}
	var g guardReport
	for i, told := range m.reports(ctx, shifts) {
		g.take(m.members[i], told)
	}
	return g, ctx.Err()
}

// outlook is what one balancer says about one shift.
type outlook struct {
	pool  string
	shift lbverify.Shift
	told  lbverify.Told
}

// reports asks the members, all at once, about their pools among those shifted.
func (m membership) reports(ctx context.Context, shifts []poolShift) [][]outlook {
	all := make([][]outlook, len(m.members))
	v := lbverify.New(lbverify.Options{Timeout: guardTimeout, Roots: m.roots})
	var wg sync.WaitGroup
	for i, member := range m.members {
		var pools []string
		for _, p := range shifts {
			for _, seat := range (membership{members: m.members[i : i+1]}).serving(p.source) {
				all[i] = append(all[i], outlook{pool: seat.pool, shift: p.Shift})
				pools = append(pools, seat.pool)
			}
		}
		if len(pools) == 0 {
			continue
		}
		wg.Go(func() {
			for n, told := range v.Reports(ctx, address(member), pools) {
				all[i][n].told = told
			}
		})
	}
	wg.Wait()
	return all
}

// take adds what one balancer said.
func (g *guardReport) take(member state.Member, outlooks []outlook) {
	for _, o := range outlooks {
		if o.told.Err != nil {
			reason := o.told.Err.Error()
			if !member.Alive {
				reason = noLife + "; " + reason
			}
			g.silent = append(g.silent, fmt.Sprintf("pool %s at %s: not known: %s", o.pool, member.Name, reason))
			continue
		}
		foreseen := lbverify.Foresee(o.told.Report, o.shift)
		line := fmt.Sprintf("pool %s at %s: %s", o.pool, member.Name, foreseen)
		if foreseen.Breaks {
			g.refused = append(g.refused, line+": too few")
		} else {
			g.lines = append(g.lines, line)
		}
	}
}
