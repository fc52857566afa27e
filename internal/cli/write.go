package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// writeFlags are the flags of every command that writes.
type writeFlags struct {
	care
	dryRun bool
	reason string
}

// add adds them all to a mode.
func (w *writeFlags) add(cmd *cobra.Command) {
	w.planFlags(cmd.Flags())
	w.flags(cmd)
}

// planFlags are those that may also stand before the mode.
func (w *writeFlags) planFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&w.dryRun, "dry-run", false, "only show what would change, and what that does to the pools")
	flags.StringVar(&w.reason, "reason", "", "`TEXT` for the history of changes: why")
}

// task is one write on its way: what is done to which objects, and how it was
// typed.
type task struct {
	action   string // "set/pooled=no"
	selector string // "name=mw1001"
	muts     []state.Mutation
	// left is true when objects had to be left out; they have been named, and
	// the command fails in the end.
	left bool
	// ask is the question that comes before the write, if one does. It gets
	// the plan.
	ask func(context.Context, plan) error
	// edited tasks say so, in place of what changed.
	edited bool
}

// write carries a task out: plan, question, guard, one update, its lines, its
// announcement, and the wait for the balancers.
func (c *confctl) write(ctx context.Context, s *session, t task) error {
	if c.dryRun {
		return errors.Join(s.dryRun(ctx, c.env, t.muts, c.care), t.outcome(nil))
	}
	if t.ask != nil {
		p, err := s.plan(ctx, t.muts)
		if err != nil {
			return err
		}
		if err := s.refusal(p, c.care); err != nil {
			return err // without asking for what will not be done
		}
		if err := t.ask(ctx, p); err != nil {
			return err
		}
	}
	if err := c.before(ctx, c.env, s, t.muts); err != nil {
		return err
	}
	change, err := s.store.Update(ctx, s.audit, t.muts)
	if t.edited {
		printEdited(c.env.Stdout, change)
	} else {
		printChange(c.env.Stdout, change)
	}
	c.log().Debug("updated", "change", change.ID, "objects", len(change.Objects), "revision", change.Revision)
	if what := t.done(change, err); what != "" {
		c.announce(ctx, s, what)
	}
	if err == nil {
		err = c.after(ctx, c.env, s, change)
	}
	return t.outcome(err)
}

// done is what is announced of a change: nothing where nothing was changed, and
// how much where it was interrupted.
func (t task) done(change state.Change, err error) string {
	changed := 0
	for _, o := range change.Objects {
		if o.Changed {
			changed++
		}
	}
	switch {
	case changed == 0:
		return ""
	case err != nil:
		return fmt.Sprintf("conftool action : %s; selector: %s (interrupted: %d objects changed)", t.action, t.selector, changed)
	}
	return fmt.Sprintf("conftool action : %s; selector: %s", t.action, t.selector)
}

// outcome is the error a task ends with.
func (t task) outcome(err error) error {
	switch {
	case err != nil:
		return oneLine{err}
	case t.left:
		return withExit(exitFailure, nil)
	}
	return nil
}

// mutations makes an action's mutations. Objects that are not even JSON are
// named and left out, except by delete; so are those that the change would
// bring into conflict with their JSON schema.
func (c *confctl) mutations(list []objects.Object, act action) (muts []state.Mutation, left bool) {
	check := newRuleChecker()
	for _, o := range list {
		if act.verb == "set" {
			raw, _, err := o.Patch(act.set)
			if err == nil {
				err = check.object(o, raw)
			}
			if err != nil {
				fmt.Fprintf(c.env.Stderr, "confctl: %v\n", oneLine{err})
				left = true
				continue
			}
		}
		muts = append(muts, act.mutation(o))
	}
	return muts, left
}
