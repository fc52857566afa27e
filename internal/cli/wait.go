package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-lb/sluice/pkg/lbverify"
	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// care is how careful a writing command is: what it asks before, and whether
// it waits afterwards.
type care struct {
	// force writes whatever the guard says.
	force bool
	// wait is how long to wait for the balancers; 0 is not at all, unless
	// verify says so.
	wait    time.Duration
	verify  bool
	without []string
}

// briefly is how long --wait waits that says no time.
const briefly = 30 * time.Second

// flags adds --wait and --without-lb, and --force unless the command has one of
// its own.
func (c *care) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.DurationVar(&c.wait, "wait", 0, "wait until every balancer confirms the change, at most `TIME` ("+briefly.String()+" unless given)")
	f.Lookup("wait").NoOptDefVal = briefly.String()
	f.StringArrayVar(&c.without, "without-lb", nil, "with --wait, leave out the balancer `NAME`; may be given several times")
	if f.Lookup("force") == nil {
		f.BoolVar(&c.force, "force", false, "write even where too few healthy servers would be left")
	}
}

// verifyFlag adds --verify, which is --wait by another name.
func (c *care) verifyFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&c.verify, "verify", false, "same as --wait")
}

// before asks the guard, and names the balancers it could not ask.
func (c care) before(ctx context.Context, env Env, s *session, muts []state.Mutation) error {
	if c.force || !s.config.Guard {
		return nil
	}
	g, err := s.guard(ctx, muts)
	if err != nil {
		return err
	}
	for _, line := range g.silent {
		fmt.Fprintf(env.Stderr, "warning: %s\n", line)
	}
	return g.refusal()
}

// after waits for the balancers, if that was asked for.
func (c care) after(ctx context.Context, env Env, s *session, change state.Change) error {
	if c.verify && c.wait == 0 {
		c.wait = briefly
	}
	if c.wait <= 0 || len(change.Objects) == 0 {
		return nil
	}
	return s.waitFor(ctx, env, change, asking{c.wait, c.without})
}

// waitFor waits until every balancer of the changed objects confirms what has
// been written, and says on stderr who did. Its error has the exit code of what
// is not verified; what was written stays written.
func (s *session) waitFor(ctx context.Context, env Env, change state.Change, ask asking) error {
	list := make([]objects.Object, 0, len(change.Objects))
	for _, o := range change.Objects {
		list = append(list, o.Object)
	}
	findings, err := s.ask(ctx, list, ask)
	if err == nil {
		err = lbverify.All(findings)
	}
	if err != nil {
		code := exitUnverified
		if own, ok := errors.AsType[*exitError](err); ok {
			code = own.code
		}
		return withExit(code, fmt.Errorf("written at revision %d, but %w", change.Revision, err))
	}
	var names []string
	for _, f := range findings {
		names = append(names, f.Balancer)
	}
	slices.Sort(names)
	fmt.Fprintf(env.Stderr, "confirmed by %v at revision %d\n", slices.Compact(names), change.Revision)
	return nil
}
