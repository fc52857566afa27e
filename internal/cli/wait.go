package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/sluice-lb/sluice/pkg/lbverify"
	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// waiting are the flags of a writing command that can wait until its change is
// in force.
type waiting struct {
	// wait is how long to wait for the balancers; 0 is not at all, unless
	// verify says so.
	wait    time.Duration
	verify  bool
	without []string
}

// briefly is how long --wait waits that says no time.
const briefly = 30 * time.Second

func (w *waiting) add(flags *pflag.FlagSet) {
	flags.DurationVar(&w.wait, "wait", 0, "wait until every balancer confirms the change, at most `TIME` ("+briefly.String()+" unless given)")
	flags.Lookup("wait").NoOptDefVal = briefly.String()
	flags.BoolVar(&w.verify, "verify", false, "same as --wait")
	flags.StringArrayVar(&w.without, "without-lb", nil, "with --wait, leave out the balancer `NAME`; may be given several times")
}

// wanted tells whether to wait at all.
func (w waiting) wanted() bool { return w.verify || w.wait > 0 }

// after waits for the balancers, if that was asked for.
func (w waiting) after(ctx context.Context, s *session, change state.Change) error {
	if w.verify && w.wait == 0 {
		w.wait = briefly
	}
	if !w.wanted() || len(change.Objects) == 0 {
		return nil
	}
	return s.waitFor(ctx, change, asking{w.wait, w.without})
}

// waitFor waits until every balancer of the changed objects confirms what has
// been written, and says on stderr who did. Its error has the exit code of what
// is not verified; what was written stays written.
func (s *session) waitFor(ctx context.Context, change state.Change, ask asking) error {
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
	fmt.Fprintf(s.warn, "confirmed by %s at revision %d\n", strings.Join(slices.Compact(names), ", "), change.Revision)
	return nil
}
