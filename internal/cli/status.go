package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-lb/sluice/pkg/lbstatus"
	"github.com/sluice-lb/sluice/pkg/lbverify"
	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

func (c *confctl) statusCommand() *cobra.Command {
	timeout := 3 * time.Second
	cmd := &cobra.Command{
		Use:   "status [SELECTOR]",
		Short: "Show pools and balancers at a glance",
		Long: "Show what every balancer says about its pools, or about those of the selected objects:\n" +
			"servers pooled, up and listed; how many the depool threshold wants; the revision applied and\n" +
			"the latest one written; how long ago the source was heard; and servers held by the threshold.\n\n" +
			"Exit codes: 0 all is well; 1 something is not, or could not be read.",
		Example: "  confctl status\n  confctl status 'dc=eqiad,service=https'\n  confctl status -o jsonl",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.statusAct(cmd.Context(), strings.Join(args, ""), timeout)
		},
		ValidArgsFunction: c.complete(completeSelector),
	}
	c.outputFlag(cmd.Flags())
	cmd.Flags().DurationVar(&timeout, "timeout", timeout, "`TIME` to wait for a balancer")
	return cmd
}

// statusRow is one pool at one balancer.
type statusRow struct {
	Pool     string `json:"pool"`
	Balancer string `json:"balancer"`
	// State is ok, held, low, behind, stale or unknown: the worst that holds.
	State     string   `json:"state"`
	Pooled    int      `json:"pooled"`
	Up        int      `json:"up"`
	Total     int      `json:"total"`
	Needed    int      `json:"needed"`
	Threshold float64  `json:"threshold"`
	Applied   int64    `json:"applied"`
	Latest    int64    `json:"latest"`
	Age       float64  `json:"source_age_seconds"`
	Announced bool     `json:"announced"`
	Held      []string `json:"held"`
	Reason    string   `json:"reason"`
}

func (c *confctl) statusAct(ctx context.Context, selector string, timeout time.Duration) error {
	s, t, err := c.open()
	if err != nil {
		return err
	}
	defer s.close()
	latest, err := s.latest(ctx, t, selector)
	if err != nil {
		return err
	}
	m, err := s.balancers(ctx)
	if err != nil {
		return err
	}
	rows := m.status(ctx, latest, selector == "", timeout)
	if len(rows) == 0 {
		return errors.New("no balancer has registered for any of these pools")
	}
	list := statusTable(rows)
	if err := list.print(c.env, c.output); err != nil {
		return err
	}
	if slices.ContainsFunc(rows, func(r statusRow) bool { return r.State != "ok" }) {
		return withExit(exitFailure, nil)
	}
	return nil
}

// latest returns the revision of the last write to each source that the
// selector touches; to all of them if it is empty.
func (s *session) latest(ctx context.Context, t *objects.Type, selector string) (map[string]int64, error) {
	sel, err := t.SelectExact(nil)
	if selector != "" {
		sel, err = t.ParseSelector(selector)
	}
	if err != nil {
		return nil, oneLine{err}
	}
	found, err := s.store.List(ctx, t, sel)
	if err != nil {
		return nil, err
	}
	if len(found.Malformed) > 0 {
		return nil, oneLine{errors.Join(found.Malformed...)}
	}
	latest := make(map[string]int64)
	for _, o := range found.Objects {
		source := s.store.SourceOf(t, o.Key)
		latest[source] = max(latest[source], o.Revision)
	}
	if len(latest) == 0 && selector != "" {
		return nil, fmt.Errorf("no objects match %s", selector)
	}
	return latest, nil
}

// status asks every member about its pools among the sources, or about all of
// them, and returns a row for each, by pool and balancer.
func (m membership) status(ctx context.Context, latest map[string]int64, all bool, timeout time.Duration) []statusRow {
	v := lbverify.New(lbverify.Options{Timeout: timeout, Roots: m.roots})
	answers := make([][]statusRow, len(m.members))
	var wg sync.WaitGroup
	for i, member := range m.members {
		var pools []string
		var revisions []int64
		for _, p := range member.Pools {
			revision, selected := latest[p.Source]
			if (selected || all) && !slices.Contains(pools, p.Pool) {
				pools = append(pools, p.Pool)
				revisions = append(revisions, revision)
			}
		}
		wg.Go(func() {
			for n, told := range v.Reports(ctx, address(member), pools) {
				answers[i] = append(answers[i], newStatusRow(member, pools[n], revisions[n], told))
			}
		})
	}
	wg.Wait()
	rows := slices.Concat(answers...)
	slices.SortStableFunc(rows, func(a, b statusRow) int { return strings.Compare(a.Pool, b.Pool) })
	return rows
}

// newStatusRow adds one report up.
func newStatusRow(member state.Member, pool string, latest int64, told lbverify.Told) statusRow {
	row := statusRow{Pool: pool, Balancer: member.Name, Latest: latest, Held: []string{}}
	if told.Err != nil {
		row.State, row.Reason = "unknown", told.Err.Error()
		if !member.Alive {
			row.Reason = noLife + "; " + row.Reason
		}
		return row
	}
	r := told.Report
	row.Total, row.Threshold, row.Applied = len(r.Members), r.Threshold, r.Applied
	row.Needed = int(math.Ceil(float64(row.Total) * r.Threshold))
	row.Age, row.Announced = r.Source.Age, r.Announced
	able := 0
	for _, server := range r.Members {
		if server.Pooled {
			row.Pooled++
		}
		if server.Up == lbstatus.UpYes {
			row.Up++
			if server.Enabled {
				able++
			}
		}
		if server.Held {
			row.Held = append(row.Held, server.Host)
		}
	}
	row.State, row.Reason = condition(member, r, latest, able < row.Needed || able == 0, row.Held)
	return row
}

// condition names the worst that is the matter with a pool, and why.
func condition(member state.Member, r lbstatus.Report, latest int64, low bool, held []string) (state, reason string) {
	switch {
	case !member.Alive:
		return "unknown", noLife + ", though it answers"
	case r.Source.Stale:
		return "stale", cmp.Or(r.Source.Error, "its source is silent")
	case r.Applied < latest:
		return "behind", cmp.Or(r.Error, fmt.Sprintf("applied %d, written %d", r.Applied, latest))
	case r.Error != "":
		return "behind", r.Error
	case low:
		return "low", "fewer servers enabled and up than the threshold wants"
	case len(held) > 0:
		return "held", "threshold"
	}
	return "ok", ""
}

func statusTable(rows []statusRow) *table {
	t := &table{head: []string{"POOL", "BALANCER", "STATE", "POOLED/UP/TOTAL", "NEEDED", "APPLIED", "LATEST", "HEARD", "HELD", "REASON"}}
	tints := map[string]tint{"ok": green, "held": yellow, "behind": yellow}
	for _, r := range rows {
		c, ok := tints[r.State]
		if !ok {
			c = red
		}
		cells := []cell{{text: r.Pool}, {text: r.Balancer}, {text: r.State, tint: c}}
		if r.State == "unknown" {
			cells = append(cells, cell{text: "-"}, cell{text: "-"}, cell{text: "-"}, cell{text: fmt.Sprint(r.Latest)}, cell{text: "-"}, cell{})
		} else {
			cells = append(cells,
				cell{text: fmt.Sprintf("%d/%d/%d", r.Pooled, r.Up, r.Total)}, cell{text: fmt.Sprint(r.Needed)},
				cell{text: fmt.Sprint(r.Applied)}, cell{text: fmt.Sprint(r.Latest)},
				cell{text: heard(r.Age)}, cell{text: strings.Join(r.Held, " ")})
		}
		t.add(r, append(cells, cell{text: r.Reason})...)
	}
	return t
}

func heard(age float64) string {
	if age < 0 {
		return "never"
	}
	return fmt.Sprintf("%.0fs ago", age)
}
