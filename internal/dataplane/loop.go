package dataplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
)

// loop is what the goroutine in Run knows.
type loop struct {
	*Reconciler
	want Wanted
	// formerly are the services that were wanted once and no longer are:
	// with those of want, the ones that are ours.
	formerly set
	// have is the plane's whole table as last read or applied; nil before
	// the first reading. It is the truth only while known.
	have  Table
	known bool
	// last is what was published last.
	last Result
}

// reason is why a pass is made.
type reason uint8

const (
	news  reason = iota // there is a new Wanted
	again               // the last pass failed
	check               // time to see whether the table has drifted
)

func newLoop(r *Reconciler) *loop {
	return &loop{Reconciler: r, formerly: make(set)}
}

// adopt takes a new Wanted for the present one.
func (l *loop) adopt(w Wanted) {
	join(l.want.Table, w.Table, compareServices, func(old, new *Service) {
		if new == nil {
			l.formerly[old.ID] = struct{}{}
		}
	})
	l.want = w
}

// pass brings the plane to what is wanted, once, and publishes what came of it.
// A check that finds everything as it was is not worth a word.
func (l *loop) pass(ctx context.Context, why reason) error {
	ops, strays, err := l.reconcile(ctx, why)
	if ctx.Err() != nil && err != nil {
		return err
	}
	l.report(why, err)
	result := Result{Version: l.want.Version, Table: l.ours(strays, err), Known: l.known, Strays: strays, Err: err}
	if why != check || ops > 0 || err != nil || l.last.Err != nil || !slices.Equal(strays, l.last.Strays) {
		l.publish(result)
	}
	l.last = result
	return err
}

// reconcile returns the number of ops it tried and the strays it saw.
func (l *loop) reconcile(ctx context.Context, why reason) (ops int, strays []ServiceID, err error) {
	if why == check || !l.known {
		if err := l.read(ctx); err != nil {
			return 0, l.last.Strays, err
		}
	}
	plan, strays := l.diff()
	l.announce(ctx, why, plan)
	if err := l.apply(ctx, plan); err != nil {
		// Some of it may have been done: look, do not guess.
		err = errors.Join(err, l.read(ctx))
		_, strays = l.diff()
		return len(plan), strays, err
	}
	l.have = l.after(strays)
	return len(plan), strays, nil
}

func (l *loop) apply(ctx context.Context, plan Plan) error {
	if len(plan) == 0 {
		return nil
	}
	if err := l.plane.Apply(ctx, plan); err != nil {
		return fmt.Errorf("apply table: %w", err)
	}
	return nil
}

// read makes have the truth, or leaves it as it was and not known.
func (l *loop) read(ctx context.Context) error {
	l.known = false
	table, err := l.plane.Read(ctx)
	if err != nil {
		return fmt.Errorf("read table: %w", err)
	}
	if table == nil {
		table = Table{}
	}
	l.have, l.known = table, true
	return nil
}

func (l *loop) diff() (Plan, []ServiceID) {
	return Diff(l.have, l.want.Table, l.want.Hold, l.formerly.has)
}

// after is the table behind a plan that was carried out in full: what was
// wanted, with what was left alone.
func (l *loop) after(strays []ServiceID) Table {
	if len(strays) == 0 && len(l.want.Hold) == 0 && l.want.Table != nil {
		return l.want.Table
	}
	held, stray := newSet(l.want.Hold), newSet(strays)
	table := make(Table, 0, len(l.have)+len(l.want.Table))
	join(l.have, l.want.Table, compareServices, func(old, new *Service) {
		switch {
		case old != nil && (held.has(old.ID) || stray.has(old.ID)):
			table = append(table, *old)
		case new != nil && !held.has(new.ID):
			table = append(table, *new)
		}
	})
	return table
}

// ours is what the plane has, as far as is known, for services that are wanted
// or held; nil if it has never been read.
func (l *loop) ours(strays []ServiceID, err error) Table {
	if err == nil && len(strays) == 0 && len(l.want.Hold) == 0 {
		return l.have
	}
	held := newSet(l.want.Hold)
	var table Table
	if l.have != nil {
		table = make(Table, 0, len(l.have))
	}
	join(l.have, l.want.Table, compareServices, func(old, new *Service) {
		if old != nil && (new != nil || held.has(old.ID)) {
			table = append(table, *old)
		}
	})
	return table
}

// announce logs what is about to be done.
func (l *loop) announce(ctx context.Context, why reason, plan Plan) {
	if why == check && l.last.Err == nil && len(plan) > 0 {
		l.log.Warn("table has drifted, repairing", "ops", len(plan), "first", plan[0].String())
	}
	if l.log.Enabled(ctx, slog.LevelDebug) {
		for _, op := range plan {
			l.log.Debug("table change", "version", l.want.Version, "op", op.String())
		}
	}
}

// report logs how it went: trouble once, not at every retry, and its end.
func (l *loop) report(why reason, err error) {
	switch {
	case err == nil && l.last.Err != nil:
		l.log.Info("table is as wanted again", "version", l.want.Version)
	case err == nil:
	case l.last.Err == nil || why == news || l.last.Err.Error() != err.Error():
		l.log.Error("table is not as wanted, retrying", "version", l.want.Version, "err", err)
	}
}
