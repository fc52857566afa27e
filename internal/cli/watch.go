package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-lb/sluice/pkg/state"
)

func (c *confctl) watchCommand() *cobra.Command {
	var since int64
	cmd := &cobra.Command{
		Use:   "watch SELECTOR",
		Short: "Show changes as they happen",
		Long: "Show changes of the objects that match TAG=REGEX[,TAG=REGEX…] as they happen, a line for each object:\n" +
			"time, revision, object, what changed, who, why. Outages are waited out and nothing is missed or shown twice;\n" +
			"what the store has forgotten meanwhile (compaction) is taken from the history, or said to be missing. Ends with Ctrl-C.",
		Example:           "  confctl watch dc=eqiad\n  confctl watch 'name=cp1001,pooled=no' -o jsonl",
		Args:              exactly("SELECTOR"),
		ValidArgsFunction: c.complete(completeSelector),
		RunE: func(cmd *cobra.Command, args []string) error {
			if since < 0 || cmd.Flags().Changed("since-revision") && since == 0 {
				return withExit(exitUsage, fmt.Errorf("--since-revision %d: want 1 or more", since))
			}
			return c.watch(cmd.Context(), args[0], since)
		},
	}
	cmd.Flags().Int64Var(&since, "since-revision", 0, "begin with revision `N` instead of now")
	c.outputFlag(cmd.Flags())
	return cmd
}

func (c *confctl) watch(ctx context.Context, selector string, since int64) error {
	tell := c.tellLine
	switch c.output {
	case "", formatTable:
	case formatLines:
		tell = c.tellJSON
	default:
		return withExit(exitUsage, fmt.Errorf("output %s: want lines (the default) or jsonl", c.output))
	}
	s, t, err := c.open()
	if err != nil {
		return err
	}
	defer s.close()
	sel, err := t.ParseSelector(selector)
	if err != nil {
		return oneLine{err}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var unread error // nobody reads on
	err = s.store.Changes(ctx, t, sel, since, func(step state.Step) {
		if step.Err != nil {
			fmt.Fprintf(c.env.Stderr, "confctl: %v; waiting for the store\n", oneLine{step.Err})
			return
		}
		if unread == nil {
			if unread = tell(step); unread != nil {
				cancel()
			}
		}
	})
	switch {
	case unread != nil:
		return fmt.Errorf("print: %w", unread)
	case err != nil:
		return oneLine{err}
	}
	return nil
}

// when is the time of a change: as recorded, or now.
func when(step state.Step) time.Time {
	if step.Record != nil && !step.Record.Time.IsZero() {
		return step.Record.Time
	}
	return time.Now()
}

// tellLine prints a step for people.
func (c *confctl) tellLine(step state.Step) error {
	by := "unrecorded"
	if r := step.Record; r != nil {
		by = who(*r)
		if r.Reason != "" {
			by += " (" + r.Reason + ")"
		}
	}
	if g := step.Gap; g != nil {
		by = "in the gap"
		if _, err := fmt.Fprintln(c.env.Stdout, gapText(step)); err != nil {
			return err
		}
	}
	for _, a := range step.Objects {
		if _, err := fmt.Fprintf(c.env.Stdout, "%s %d %s: %s  %s\n", stamp(when(step)), step.Revision, a.Object.Key, what(a), by); err != nil {
			return err
		}
	}
	return nil
}

// gapText is the line about what cannot be shown.
func gapText(step state.Step) string {
	text := fmt.Sprintf("%s %d gap: revisions %d to %d cannot be shown one by one (%s)", stamp(time.Now()), step.Revision, step.Gap.From, step.Gap.To, step.Gap.Why)
	switch n := len(step.Objects); n {
	case 0:
		return text
	case 1:
		return text + "; 1 object differs"
	default:
		return fmt.Sprintf("%s; %d objects differ", text, n)
	}
}

// watchLine is one line of watch -o jsonl.
type watchLine struct {
	Time     time.Time       `json:"time"`
	Revision int64           `json:"revision"`
	Object   string          `json:"object,omitempty"`
	Before   json.RawMessage `json:"before,omitempty"`
	After    json.RawMessage `json:"after,omitempty"`
	Diffs    []watchDiff     `json:"diffs,omitempty"`
	Change   string          `json:"change,omitempty"`
	User     string          `json:"user,omitempty"`
	Host     string          `json:"host,omitempty"`
	Reason   string          `json:"reason,omitempty"`
	Undoes   string          `json:"undoes,omitempty"`
	Gap      *watchGap       `json:"gap,omitempty"`
}

type watchDiff struct {
	Field string `json:"field"`
	Old   any    `json:"old"`
	New   any    `json:"new"`
}

type watchGap struct {
	From int64  `json:"from"`
	To   int64  `json:"to"`
	Why  string `json:"why"`
}

// tellJSON prints a step for programs: a line per object; a gap is a line of its
// own, before the objects that differ after it.
func (c *confctl) tellJSON(step state.Step) error {
	line := watchLine{Time: when(step).UTC(), Revision: step.Revision}
	if step.Gap != nil {
		gap := line
		gap.Gap = &watchGap{step.Gap.From, step.Gap.To, step.Gap.Why}
		if err := printJSONLine(c.env.Stdout, gap); err != nil {
			return err
		}
	}
	if r := step.Record; r != nil {
		line.Change, line.User, line.Host, line.Reason, line.Undoes = r.ID, r.User, r.Host, r.Reason, r.Undoes
	}
	for _, a := range step.Objects {
		line.Object, line.Before, line.After, line.Diffs = a.Object.Key.String(), storedJSON(a.Before), storedJSON(a.Object.Raw), nil
		for _, d := range a.Diffs {
			line.Diffs = append(line.Diffs, watchDiff{d.Field, d.Old, d.New})
		}
		if err := printJSONLine(c.env.Stdout, line); err != nil {
			return err
		}
	}
	return nil
}

// storedJSON is a stored value within JSON: as a string if it is none itself.
func storedJSON(raw []byte) json.RawMessage {
	if raw == nil || json.Valid(raw) {
		return raw
	}
	text, _ := json.Marshal(strings.ToValidUTF8(string(raw), "\uFFFD")) // a string always can be
	return text
}
