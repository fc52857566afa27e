package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// historyFlags are what history can be asked.
type historyFlags struct {
	limit int
	since string
}

func (c *confctl) historyCommand() *cobra.Command {
	var f historyFlags
	cmd := &cobra.Command{
		Use:   "history [SELECTOR]",
		Short: "Show who changed what, newest first",
		Long: "Show who changed what, when and why, newest first: all changes, or those of the objects that match\n" +
			"TAG=REGEX[,TAG=REGEX…]. Changes another program made straight in etcd are not recorded.",
		Example:           "  confctl history --since 2h\n  confctl history name=cp1001 --limit 5 -o json",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: c.complete(completeSelector),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.history(cmd.Context(), strings.Join(args, ""), len(args) > 0, f)
		},
	}
	cmd.Flags().IntVar(&f.limit, "limit", 20, "show at most `N` changes; 0 shows all")
	cmd.Flags().StringVar(&f.since, "since", "", "only changes of the last `TIME`: 30m, 2h, 7d")
	c.outputFlag(cmd.Flags())
	return cmd
}

func (c *confctl) history(ctx context.Context, selector string, selected bool, f historyFlags) error {
	q := state.HistoryQuery{Limit: f.limit}
	if f.since != "" {
		ago, err := parseAgo(f.since)
		if err != nil {
			return withExit(exitUsage, fmt.Errorf("--since %q: %w", f.since, err))
		}
		q.Since = time.Now().Add(-ago)
	}
	if f.limit < 0 {
		return withExit(exitUsage, fmt.Errorf("--limit %d: want 0 or more", f.limit))
	}
	s, t, err := c.open()
	if err != nil {
		return err
	}
	defer s.close()
	if selected {
		q.Type = t
		if q.Selector, err = t.ParseSelector(selector); err != nil {
			return oneLine{err}
		}
	}
	records, err := s.store.History(ctx, q)
	if err != nil {
		return oneLine{err}
	}
	return c.printHistory(s, q, records)
}

// parseAgo reads a span of time, in which "d" is a day.
func parseAgo(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, errors.New("want a time like 30m, 2h or 7d")
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, errors.New("want a time like 30m, 2h or 7d")
	}
	return d, nil
}

// printHistory prints the records, with the objects asked for. Malformed records
// are named on stderr, and the command fails in the end.
func (c *confctl) printHistory(s *session, q state.HistoryQuery, records []state.Recorded) error {
	var good []state.Recorded
	for _, r := range records {
		if r.Malformed != "" {
			fmt.Fprintf(c.env.Stderr, "confctl: malformed %s\n", oneLine{errors.New(r.Malformed)})
			continue
		}
		good = append(good, pick(s, q, r))
	}
	var err error
	switch c.output {
	case "", formatTable:
		err = printHistoryTable(c.env.Stdout, s, good)
	case formatJSON:
		err = printJSON(c.env.Stdout, good)
	case formatLines:
		for _, r := range good {
			if err = printJSONLine(c.env.Stdout, r); err != nil {
				break
			}
		}
	default:
		return withExit(exitUsage, fmt.Errorf("output %s: want table, json or jsonl", c.output))
	}
	if err == nil && len(good) < len(records) {
		return withExit(exitFailure, nil)
	}
	return err
}

// pick leaves those objects of a record that were asked for.
func pick(s *session, q state.HistoryQuery, r state.Recorded) state.Recorded {
	if q.Selector == nil {
		return r
	}
	var kept []state.RecordedObject
	for i, a := range s.store.Alterations([]*objects.Type{q.Type}, r) {
		if a.Object.Type == q.Type && a.Picked(q.Selector) {
			kept = append(kept, r.Objects[i])
		}
	}
	r.Objects = kept
	return r
}

// printJSON prints a value over several lines.
func printJSON(w io.Writer, records []state.Recorded) error {
	if records == nil {
		records = []state.Recorded{}
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(records)
}

// printJSONLine prints a value on one line.
func printJSONLine(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// shownOfChange is how many objects of one record a table shows.
const shownOfChange = 5

// printHistoryTable prints a row per object; what is the same as above is left
// out, so that a change of many objects reads as one.
func printHistoryTable(w io.Writer, s *session, records []state.Recorded) error {
	if len(records) == 0 {
		return nil
	}
	table := plainTable(w, []string{"time", "change", "who", "object", "what", "reason"})
	for _, r := range records {
		first := []string{stamp(r.Time), r.ID, who(r)}
		reason := r.Reason
		if r.Undoes != "" {
			reason = strings.TrimSpace("undoes " + r.Undoes + " " + reason)
		}
		altered := s.store.Alterations(s.schema.Types(), r)
		for i, a := range altered {
			row := append(first, a.Object.Key.String(), what(a), reason)
			if i == shownOfChange && len(altered) > shownOfChange+1 {
				row[3], row[4] = fmt.Sprintf("and %d more", len(altered)-i), ""
			}
			if err := table.Append(row); err != nil {
				return err
			}
			if row[4] == "" {
				break
			}
			first, reason = []string{"", "", ""}, ""
		}
	}
	return table.Render()
}

// stamp is a time as shown: UTC, to the second.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// who made a change.
func who(r state.Recorded) string { return r.User + "@" + r.Host }

// what happened to an object: "pooled yes => no, weight 1 => 2".
func what(a state.Altered) string {
	switch {
	case a.Before == nil:
		return "created " + stored(a.Object.Raw)
	case a.Object.Raw == nil:
		return "deleted " + stored(a.Before)
	case len(a.Diffs) == 0:
		return "rewritten " + stored(a.Object.Raw)
	}
	var parts []string
	for _, d := range a.Diffs {
		parts = append(parts, fmt.Sprintf("%s %s => %s", d.Field, objects.Text(d.Old), objects.Text(d.New)))
	}
	return strings.Join(parts, ", ")
}

// stored is a stored value on one line, as conftool writes it.
func stored(raw []byte) string {
	if !json.Valid(raw) {
		return strconv.Quote(string(raw))
	}
	out, err := objects.Encode(json.RawMessage(raw))
	if err != nil {
		return strconv.Quote(string(raw))
	}
	return string(out)
}
