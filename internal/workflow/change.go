package workflow

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/sluice-lb/sluice/pkg/lbverify"
	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// change writes pooled to all objects at once and waits until every balancer
// of every pool touched has confirmed that very revision. It returns the
// objects it altered, as they are now: those and no others are this
// procedure's to change back. The error says what is left in which state.
func (p *Procedure) change(ctx context.Context, objs []objects.Object, pooled string, want lbverify.Want) ([]objects.Object, error) {
	muts := make([]state.Mutation, 0, len(objs))
	for _, o := range objs {
		muts = append(muts, state.Mutation{Object: o, Set: []objects.Setting{{Field: "pooled", Value: pooled}}})
	}
	done, err := p.Store.Update(ctx, p.Audit, muts)
	altered := alteredBy(done)
	if err != nil {
		return altered, fmt.Errorf("set pooled=%s: %w%s", pooled, p.writeError(ctx, err), leftAfter(err, objs, altered, pooled))
	}
	p.Log.Info(fmt.Sprintf("pooled=%s at revision %d: %s", pooled, done.Revision, keys(objs)))
	if err := p.verify(ctx, p.touched(objs), want, done.Revision); err != nil {
		return altered, fmt.Errorf("%w%s", err, left(objs, pooled))
	}
	return altered, nil
}

func (p *Procedure) writeError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ErrInterrupted
	}
	return fmt.Errorf("%w: %w", ErrUnconfirmed, err)
}

func alteredBy(done state.Change) []objects.Object {
	var altered []objects.Object
	for _, o := range done.Objects {
		if o.Changed {
			altered = append(altered, o.Object)
		}
	}
	return altered
}

// left ends an error with the state things are left in.
func left(objs []objects.Object, pooled string) string {
	if len(objs) == 0 {
		return ""
	}
	return fmt.Sprintf("; left pooled=%s: %s", pooled, keys(objs))
}

// leftAfter is left for a write that failed. Only a refusal by the store proves
// that nothing was written: a timeout leaves it open.
func leftAfter(err error, objs, altered []objects.Object, pooled string) string {
	switch {
	case errors.Is(err, state.ErrPartial):
		return left(altered, pooled)
	case errors.Is(err, state.ErrConflict), errors.Is(err, state.ErrNotFound):
		return "; nothing was written"
	}
	return fmt.Sprintf("; pooled=%s may or may not have been written: %s", pooled, keys(objs))
}

// verify asks every balancer of the entries, all at once, and wants each entry
// confirmed by itself: one that nobody was asked about is not.
func (p *Procedure) verify(ctx context.Context, entries []Entry, want lbverify.Want, revision int64) error {
	errs := make([]error, len(entries))
	var wg sync.WaitGroup
	for i, e := range entries {
		wg.Go(func() {
			exps := make([]lbverify.Expectation, 0, len(e.LBPools))
			for _, pool := range e.LBPools {
				exps = append(exps, lbverify.Expectation{Pool: pool, Host: p.Host, Want: want, Revision: revision})
			}
			errs[i] = lbverify.All(p.Verifier.Verify(ctx, e.Balancers, exps))
		})
	}
	wg.Wait()
	err := errors.Join(errs...)
	switch {
	case len(entries) == 0:
		return fmt.Errorf("%w: no pool to ask about", ErrUnconfirmed)
	case err == nil:
		p.Log.Info(fmt.Sprintf("confirmed by every balancer: %s is %s", p.Host, want))
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%w before every balancer confirmed %s", ErrInterrupted, want)
	}
	return fmt.Errorf("%w: %s", ErrUnconfirmed, findings(errs))
}

// findings joins what the balancers of all entries said.
func findings(errs []error) string {
	var lines []string
	for _, err := range errs {
		var u *lbverify.UnverifiedError
		switch {
		case err == nil:
		case errors.As(err, &u) && len(u.Findings) > 0:
			for _, f := range u.Findings {
				lines = append(lines, f.String())
			}
		default:
			lines = append(lines, err.Error())
		}
	}
	return strings.Join(lines, "; ")
}

// headroom asks every balancer, before anything is written, whether the pools
// can do without the host. A balancer that cannot be asked could not confirm
// the depool either: better to stop here than half way.
func (p *Procedure) headroom(ctx context.Context, objs []objects.Object) error {
	var rooms []lbverify.Room
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, e := range p.touched(objs) {
		for _, pool := range e.LBPools {
			wg.Go(func() {
				r := p.Verifier.Headroom(ctx, e.Balancers, pool, []string{p.Host})
				mu.Lock()
				defer mu.Unlock()
				rooms = append(rooms, r...)
			})
		}
	}
	wg.Wait()
	if err := interrupted(ctx); err != nil {
		return fmt.Errorf("%w; nothing was written", err)
	}
	var silent, problems []string
	for _, r := range rooms {
		if r.Err != nil {
			silent = append(silent, fmt.Sprintf("%s: %v", r.Balancer, r.Err))
		}
		for _, problem := range r.Problems {
			problems = append(problems, fmt.Sprintf("%s: %s", r.Balancer, problem))
		}
	}
	if p.Floors != nil {
		below, err := p.Floors(ctx, objs)
		if err != nil {
			return fmt.Errorf("%w; nothing was written", err)
		}
		problems = append(problems, below...)
	}
	switch {
	case len(silent) > 0 || len(rooms) == 0:
		return fmt.Errorf("%w: a depool could not be verified, so nothing was written: %s", ErrUnconfirmed, sorted(silent))
	case len(problems) > 0 && !p.IgnoreHeadroom:
		return fmt.Errorf("%w: no headroom, nothing was written: %s", ErrRefused, sorted(problems))
	case len(problems) > 0:
		p.Log.Warn("no headroom, going on as told: " + sorted(problems))
	}
	return nil
}
