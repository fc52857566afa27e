package workflow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-lb/sluice/pkg/lbverify"
	"github.com/sluice-lb/sluice/pkg/objects"
)

// Restart takes the host out of its pools, restarts the units, and brings it
// back: into those pools it was taken out of, and no others. It stops at the
// first doubt: a depool that is not confirmed by every balancer restarts
// nothing, be it this run's or one found in the store, which may be held by the
// threshold or left behind by a run that could not verify it; a unit that does
// not come up is not repooled. Only a host that is in none of the pools, or
// inactive in all, is restarted directly.
func (p *Procedure) Restart(ctx context.Context, units []string) error {
	objs, out, err := p.objects(ctx)
	if err != nil {
		return err
	}
	mine, err := p.ensureOut(ctx, objs, out)
	if err != nil {
		return fmt.Errorf("depool: %w; nothing was restarted", err)
	}
	if len(objs) == 0 {
		p.Log.Info(fmt.Sprintf("%s is pooled nowhere: restarting directly", p.Host))
		return p.restart(ctx, units)
	}
	if p.Grace > 0 {
		p.Log.Info(fmt.Sprintf("waiting %s for requests under way", p.Grace))
	}
	if err := sleep(ctx, p.Grace); err != nil {
		return fmt.Errorf("grace period: %w; nothing was restarted%s", err, left(objs, "no"))
	}
	if err := p.restart(ctx, units); err != nil {
		p.Log.Warn("restart did not succeed: NOT repooling")
		return notRepooled(err, objs)
	}
	if len(mine) == 0 {
		p.Log.Info("somebody else has depooled everything meanwhile: not repooling")
		return nil
	}
	p.Log.Info(fmt.Sprintf("repooling %s", p.Host))
	if _, err := p.change(ctx, mine, "yes", lbverify.In); err != nil {
		return fmt.Errorf("repool: %w", err)
	}
	return nil
}

// notRepooled adds to a failed restart that the host stays out.
func notRepooled(err error, objs []objects.Object) error {
	rest := "; not repooled" + left(objs, "no")
	var failed *RestartError
	if errors.As(err, &failed) {
		return &RestartError{Code: failed.Code, Err: fmt.Errorf("%w%s", failed.Err, rest)}
	}
	return fmt.Errorf("%w%s", err, rest)
}

// Force restarts the units and leaves the pools alone.
func (p *Procedure) Force(ctx context.Context, units []string) error {
	p.Log.Info("forced: restarting without depool")
	return p.restart(ctx, units)
}

// Depool takes the host out of the pools it is in, and makes sure of those it
// was out of already.
func (p *Procedure) Depool(ctx context.Context) error {
	objs, out, err := p.objects(ctx)
	if err != nil {
		return err
	}
	if len(objs) == 0 {
		p.Log.Info(fmt.Sprintf("%s is already depooled", p.Host))
	}
	if _, err := p.ensureOut(ctx, objs, out); err != nil {
		return fmt.Errorf("depool: %w", err)
	}
	return nil
}

// ensureOut has every balancer confirm those already out, and then depools objs
// and has that confirmed. It returns the objects it altered.
func (p *Procedure) ensureOut(ctx context.Context, objs, out []objects.Object) ([]objects.Object, error) {
	if len(out) > 0 {
		if err := p.verify(ctx, p.touched(out), lbverify.Out, latest(out)); err != nil {
			return nil, fmt.Errorf("%w; pooled=no already: %s; nothing was written", err, keys(out))
		}
	}
	if len(objs) == 0 {
		return nil, nil
	}
	return p.takeOut(ctx, objs)
}

// latest is the revision at which all objects are as they are.
func latest(objs []objects.Object) (revision int64) {
	for _, o := range objs {
		revision = max(revision, o.Revision)
	}
	return revision
}

// Pool brings the host into the pools that say no. Inactive ones stay so.
func (p *Procedure) Pool(ctx context.Context) error {
	_, objs, err := p.objects(ctx)
	if err != nil {
		return err
	}
	if len(objs) == 0 {
		p.Log.Info(fmt.Sprintf("no service to pool on %s", p.Host))
		return nil
	}
	p.warnWeightless(objs)
	p.Log.Info(fmt.Sprintf("pooling %s", p.Host))
	if _, err := p.change(ctx, objs, "yes", lbverify.In); err != nil {
		return fmt.Errorf("pool: %w", err)
	}
	return nil
}

// warnWeightless says which objects will be pooled and yet get no connections.
func (p *Procedure) warnWeightless(objs []objects.Object) {
	for _, o := range objs {
		if w, err := o.Value("weight"); err == nil && w == 0 {
			p.Log.Warn(fmt.Sprintf("%s has weight 0: it will get no new connections", o.Key))
		}
	}
}

// takeOut depools the objects if there is headroom.
func (p *Procedure) takeOut(ctx context.Context, objs []objects.Object) ([]objects.Object, error) {
	if err := p.headroom(ctx, objs); err != nil {
		return nil, err
	}
	p.Log.Info(fmt.Sprintf("depooling %s", p.Host))
	return p.change(ctx, objs, "no", lbverify.Out)
}

// restart restarts every unit in order, whatever becomes of those before it.
func (p *Procedure) restart(ctx context.Context, units []string) error {
	var failures []error
	code := 0
	for _, unit := range units {
		if err := interrupted(ctx); err != nil {
			return fmt.Errorf("%w before %s was restarted", err, unit)
		}
		p.Log.Info("restarting " + unit)
		err := p.Restarter.Restart(ctx, unit)
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w while %s was restarting", ErrInterrupted, unit)
		}
		p.Log.Error(err.Error())
		failures, code = append(failures, err), exitCode(err)
	}
	if len(failures) > 0 {
		return &RestartError{Code: code, Err: inOneLine(failures)}
	}
	return nil
}

// inOneLine joins errors as errors.Join does, with "; " between them.
func inOneLine(errs []error) error {
	err := errs[0]
	for _, next := range errs[1:] {
		err = fmt.Errorf("%w; %w", err, next)
	}
	return err
}

// exitCode is the code of the program that failed, or 1.
func exitCode(err error) int {
	var e interface{ ExitCode() int }
	if errors.As(err, &e) && e.ExitCode() > 0 {
		return e.ExitCode()
	}
	return 1
}

func sorted(lines []string) string {
	return strings.Join(slices.Sorted(slices.Values(lines)), "; ")
}
