package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/sluice-lb/sluice/pkg/state"
)

// guardReport is what a change would do to the pools it touches, by what their
// balancers say.
type guardReport struct {
	// lines are the pools at their balancers, one line each, with numbers.
	lines []string
	// refused are the lines of those that would fall below what they need.
	refused []string
	// silent name the balancers that could not be asked, and why. They do not
	// block.
	silent []string
}

// guard works out what the mutations would do to every pool that balancers
// serve. Its error means that nobody could find out who the balancers are;
// whether to go on is for refusal to say.
func (s *session) guard(ctx context.Context, muts []state.Mutation) (guardReport, error) {
	return guardReport{}, nil
}

// String is the report for a dry run: a line per pool and balancer.
func (g guardReport) String() string {
	var b strings.Builder
	for _, line := range append(g.lines, g.silent...) {
		fmt.Fprintln(&b, line)
	}
	return b.String()
}

// refusal is the usage error of a change that must not be made without
// --force; nil where nothing speaks against it.
func (g guardReport) refusal() error {
	if len(g.refused) == 0 {
		return nil
	}
	return withExit(exitUsage, fmt.Errorf("refused, nothing was written (--force writes it all the same): %s", strings.Join(g.refused, "; ")))
}
