package cli

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-lb/sluice/pkg/lbverify"
	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// asking is how the balancers are asked.
type asking struct {
	// budget is how long to wait for all of them.
	budget time.Duration
	// without names balancers that are left out.
	without []string
}

func (c *confctl) verifyCommand() *cobra.Command {
	ask := asking{budget: 5 * time.Second}
	cmd := &cobra.Command{
		Use:   "verify SELECTOR",
		Short: "Ask every balancer whether what is said is in force",
		Long: "Ask every balancer that serves a selected object whether what is said of it is in force:\n" +
			"pooled=yes is enabled, up and pooled; no is disabled and not pooled; inactive is absent.\n\n" +
			"A balancer that does not answer, or has not got as far as the object's last change, confirms nothing.\n\n" +
			"Exit codes: 0 all confirmed; 127 not, or there was nobody to ask; 1 the present state could not be read.",
		Example: "  confctl verify name=cp1001.eqiad.wmnet\n" +
			"  confctl verify 'dc=eqiad,service=https' --timeout 20s\n" +
			"  confctl verify 'dc=eqiad' --without-lb lb3 -o json",
		Args: exactly("SELECTOR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.verifyAct(cmd.Context(), args[0], ask)
		},
		ValidArgsFunction: c.complete(completeSelector),
	}
	c.outputFlag(cmd.Flags())
	cmd.Flags().DurationVar(&ask.budget, "timeout", ask.budget, "`TIME` to wait until everything is confirmed")
	c.withoutFlag(cmd, &ask.without)
	return cmd
}

func (c *confctl) withoutFlag(cmd *cobra.Command, names *[]string) {
	cmd.Flags().StringArrayVar(names, "without-lb", nil, "leave out the balancer `NAME`; may be given several times")
	c.suggest(cmd, "without-lb", completeBalancers)
}

func (c *confctl) verifyAct(ctx context.Context, selector string, ask asking) error {
	s, t, err := c.open()
	if err != nil {
		return err
	}
	defer s.close()
	sel, err := t.ParseSelector(selector)
	if err != nil {
		return oneLine{err}
	}
	found, err := s.store.List(ctx, t, sel)
	if err != nil {
		return err
	}
	warnStray(c.env, t, found.Stray)
	nameMalformed(c.env, found.Malformed)
	if len(found.Objects) == 0 {
		return withExit(exitUnverified, fmt.Errorf("no objects match %s: nothing to verify", selector))
	}
	findings, err := s.ask(ctx, found.Objects, ask)
	if err != nil {
		return err
	}
	if err := findingsTable(findings).print(c.env, c.output); err != nil {
		return err
	}
	if lbverify.All(findings) != nil || len(found.Malformed) > 0 {
		return withExit(exitUnverified, nil)
	}
	return nil
}

// ask asks every balancer of every object whether what the object says is in
// force at the object's revision. An object nobody serves makes an Unknown
// finding, and so does a balancer without a sign of life.
func (s *session) ask(ctx context.Context, list []objects.Object, ask asking) ([]lbverify.Finding, error) {
	m, err := s.balancers(ctx)
	if err != nil {
		return nil, err
	}
	if err := m.known(ask.without); err != nil {
		return nil, err
	}
	questions, findings, err := m.questions(list, ask.without)
	if err != nil {
		return nil, err
	}
	v := lbverify.New(lbverify.Options{Budget: max(ask.budget, time.Millisecond), Roots: m.roots})
	var wg sync.WaitGroup
	answers := make([][]lbverify.Finding, len(questions))
	for i, q := range questions {
		wg.Go(func() { answers[i] = v.Verify(ctx, []lbverify.Balancer{address(q.Member)}, q.exps) })
	}
	wg.Wait()
	return append(slices.Concat(answers...), findings...), nil
}

// question is all that one balancer is asked.
type question struct {
	state.Member
	exps []lbverify.Expectation
}

// questions sorts the objects by who is to be asked, and returns the findings
// that are clear without asking.
func (m membership) questions(list []objects.Object, without []string) ([]question, []lbverify.Finding, error) {
	var questions []question
	var findings []lbverify.Finding
	for _, o := range list {
		e, err := expectation(o)
		if err != nil {
			return nil, nil, err
		}
		asked := 0
		for _, seat := range m.serving(m.source(o.Type, o.Key)) {
			e.Pool = seat.pool
			switch i := slices.IndexFunc(questions, func(q question) bool { return q.Name == seat.Name }); {
			case slices.Contains(without, seat.Name):
				continue
			case !seat.Alive:
				findings = append(findings, lbverify.Finding{Balancer: seat.Name, Expectation: e, Reason: noLife})
			case i >= 0:
				questions[i].exps = append(questions[i].exps, e)
			default:
				questions = append(questions, question{seat.Member, []lbverify.Expectation{e}})
			}
			asked++
		}
		if asked == 0 {
			e.Pool = o.Key.Tags
			findings = append(findings, lbverify.Finding{Expectation: e, Reason: "no balancer to ask"})
		}
	}
	return questions, findings, nil
}

// expectation is what should be true of an object wherever it is served. An
// object without a value has been deleted.
func expectation(o objects.Object) (lbverify.Expectation, error) {
	e := lbverify.Expectation{Host: o.Key.Name, Want: lbverify.Gone, Revision: o.Revision}
	if o.Raw == nil {
		return e, nil
	}
	v, err := objects.ParseNode(o.Raw)
	if err != nil {
		return e, oneLine{fmt.Errorf("%s: %w", o.Key, err)}
	}
	switch v.Pooled {
	case "yes":
		e.Want = lbverify.In
	case "no":
		e.Want = lbverify.Out
	}
	return e, nil
}

// findingRow is a finding as programs read it.
type findingRow struct {
	Balancer string `json:"balancer"`
	Pool     string `json:"pool"`
	Host     string `json:"host"`
	Want     string `json:"want"`
	Got      string `json:"got"`
	Outcome  string `json:"outcome"`
	Reason   string `json:"reason"`
	Revision int64  `json:"revision"`
}

func findingsTable(findings []lbverify.Finding) *table {
	t := &table{head: []string{"BALANCER", "POOL", "HOST", "WANT", "GOT", "OUTCOME", "REASON"}}
	for _, f := range findings {
		name, got, outcome := f.Balancer, f.Got, cell{text: f.Outcome.String(), tint: red}
		if name == "" {
			name = "(nobody)"
		}
		if got == "" {
			got = "-"
		}
		switch f.Outcome {
		case lbverify.Confirmed:
			outcome.tint = green
		case lbverify.Unknown:
			outcome.tint = yellow
		}
		t.add(findingRow{f.Balancer, f.Pool, f.Host, f.Want.String(), f.Got, f.Outcome.String(), f.Reason, f.Revision},
			cell{text: name}, cell{text: f.Pool}, cell{text: f.Host}, cell{text: f.Want.String()}, cell{text: got}, outcome, cell{text: f.Reason})
	}
	return t
}
