package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sluice-lb/sluice/pkg/state"
)

// syncLock is the lock that a sync holds while it writes.
const syncLock = "sync"

func (c *confctl) syncCommand() *cobra.Command {
	run := syncRun{confctl: c, summary: c.env.Stdout}
	cmd := &cobra.Command{
		Use:   "sync DIR",
		Short: "Create and remove objects as the files in DIR say",
		Long: "Create the objects that the files DIR/TYPE/*.yaml name, with their type's defaults, and remove those they no\n" +
			"longer name. What existing objects hold is never touched.\n\n" +
			"A file that cannot be read, a mapping key that stands twice, a directory that is missing: nothing of that type is\n" +
			"removed. Objects that are pooled, and more than a tenth of a type's, are removed by --force only. One sync writes\n" +
			"at a time; the next waits for it.\n\n" +
			"Exit codes: 0 all is as the files say; 1 not all; 2 the command line, or no such DIR.",
		Example: "  confctl sync --dry-run conftool-data\n  confctl sync conftool-data",
		Args:    exactly("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			run.dir = args[0]
			return run.sync(cmd.Context())
		},
	}
	run.flags(cmd.Flags())
	return cmd
}

// syncRun is one run of sync.
type syncRun struct {
	*confctl
	dir        string
	maxRemoved percentage
	lockWait   time.Duration
	summary    io.Writer // takes what was done, and would be
}

func (r *syncRun) flags(flags *pflag.FlagSet) {
	r.maxRemoved = 10
	r.writeFlags.add(flags)
	r.waiting.add(flags)
	flags.Var(&r.maxRemoved, "max-removed", "remove no more than this `SHARE` of a type's objects without --force")
	flags.DurationVar(&r.lockWait, "lock-timeout", time.Minute, "how long to wait for another sync to end, `TIME`")
	flags.Lookup("wait").Usage = "wait until every balancer of the objects created or removed confirms that, at most `TIME` (" + briefly.String() + " unless given)"
	flags.Lookup("dry-run").Usage = "only say what would be done"
	flags.Lookup("force").Usage = "also remove objects that are pooled, or more than --max-removed of a type"
}

func (r *syncRun) sync(ctx context.Context) error {
	tree, err := openTree(r.dir)
	if err != nil {
		return err
	}
	defer tree.close()
	s, _, err := r.open()
	if err != nil {
		return err
	}
	defer s.close()
	p, change, err := r.carryOut(ctx, s, tree)
	if err != nil {
		return err
	}
	if r.waiting.wanted() && !r.dryRun && len(change.Objects) > 0 {
		if change, err = s.served(ctx, change); err != nil {
			return err
		}
		if err := r.waiting.after(ctx, s, change); err != nil {
			return err
		}
	}
	if p.troubled() {
		return withExit(exitFailure, nil)
	}
	return nil
}

// carryOut makes a plan, and carries out what it asks for. Only then is the
// lock needed, and under it a plan of its own: whoever held it before has
// written.
func (r *syncRun) carryOut(ctx context.Context, s *session, tree tree) (syncPlan, state.Change, error) {
	p, err := r.plan(ctx, s, tree)
	if err != nil {
		return p, state.Change{}, err
	}
	if r.dryRun || len(p.muts) == 0 {
		p.complain(r.env)
		if r.dryRun {
			p.preview(r.summary)
		}
		p.summarise(r.summary, state.Change{}, r.dryRun)
		return p, state.Change{}, nil
	}
	held, release, err := r.lock(ctx, s)
	if err != nil {
		return p, state.Change{}, err
	}
	defer release()
	if p, err = r.plan(held, s, tree); err != nil {
		return p, state.Change{}, cause(held, err)
	}
	p.complain(r.env)
	bar := newProgress(r.env.Stderr, len(p.muts))
	change, err := s.store.UpdateWithProgress(held, s.audit, p.muts, bar.at)
	bar.end()
	p.summarise(r.summary, change, false)
	return p, change, cause(held, err)
}

// cause is err, or why the context ended where that is what err is of.
func cause(ctx context.Context, err error) error {
	if err != nil && errors.Is(err, context.Canceled) && !errors.Is(context.Cause(ctx), context.Canceled) {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	if err != nil {
		return oneLine{err}
	}
	return nil
}

// lock waits for those syncs that came first.
func (r *syncRun) lock(ctx context.Context, s *session) (context.Context, func(), error) {
	claim := state.Claim{Name: syncLock, Wait: r.lockWait, Audit: s.audit}
	return s.store.Lock(ctx, claim, func(ahead []state.Claimant) {
		fmt.Fprintf(r.env.Stderr, "%s: waiting for %s\n", r.root.Name(), ahead[0])
	})
}

// served is the part of a change that balancers take up: most of what a tree
// declares is nobody's to confirm.
func (s *session) served(ctx context.Context, change state.Change) (state.Change, error) {
	m, err := s.balancers(ctx)
	if err != nil {
		return change, err
	}
	change.Objects = slices.DeleteFunc(slices.Clone(change.Objects), func(o state.Outcome) bool {
		return !o.Changed || len(m.serving(m.source(o.Object.Type, o.Object.Key))) == 0
	})
	return change, nil
}
