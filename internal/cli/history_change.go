package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-lb/sluice/pkg/state"
)

func (c *confctl) showChangeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show-change CHANGE",
		Short:   "Show one change whole: who, when, why, every object",
		Long:    "Show one change whole: who made it, when, with what command and why, and every object before and after.",
		Example: "  confctl show-change 20260102T150405.000Z-0a1b2c3d",
		Args:    exactly("CHANGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.showChange(cmd.Context(), args[0])
		},
	}
	c.outputFlag(cmd.Flags())
	return cmd
}

func (c *confctl) showChange(ctx context.Context, id string) error {
	s, _, err := c.open()
	if err != nil {
		return err
	}
	defer s.close()
	parts, err := s.store.ShowChange(ctx, id)
	if err != nil {
		return oneLine{err}
	}
	switch c.output {
	case "", formatTable:
		return c.printParts(s, parts)
	case formatJSON:
		return printJSON(c.env.Stdout, parts)
	case formatLines:
		for _, r := range parts {
			if err := printJSONLine(c.env.Stdout, r); err != nil {
				return err
			}
		}
		return nil
	}
	return withExit(exitUsage, fmt.Errorf("output %s: want table, json or jsonl", c.output))
}

// printParts prints a change in words. A malformed part is named, and the
// command fails in the end.
func (c *confctl) printParts(s *session, parts []state.Recorded) error {
	var bad error
	head := false
	for _, r := range parts {
		if r.Malformed != "" {
			fmt.Fprintf(c.env.Stderr, "confctl: malformed %s\n", oneLine{errors.New(r.Malformed)})
			bad = withExit(exitFailure, nil)
			continue
		}
		if !head {
			head = true
			printHead(c.env.Stdout, r, parts)
		}
		for _, a := range s.store.Alterations(s.schema.Types(), r) {
			fmt.Fprintf(c.env.Stdout, "%s: %s\n", a.Object.Key, what(a))
		}
	}
	return bad
}

func printHead(w io.Writer, r state.Recorded, parts []state.Recorded) {
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%-9s%s\n", name, value)
		}
	}
	line("change", r.ID)
	line("time", stamp(r.Time))
	line("who", who(r))
	line("command", strings.Join(r.Command, " "))
	line("reason", r.Reason)
	line("undoes", r.Undoes)
	line("parts", partsText(r.Of, parts))
	fmt.Fprintln(w)
}

// partsText says at which revisions the parts of a change were made and, where
// there were to be more, that these are all there are.
func partsText(of int, parts []state.Recorded) string {
	var texts []string
	for _, p := range parts {
		switch {
		case p.Void:
			texts = append(texts, "one whose answer was lost, and which was not carried out")
		case p.Malformed != "":
			texts = append(texts, fmt.Sprintf("a malformed one (revision %d)", p.Revision))
		default:
			texts = append(texts, fmt.Sprintf("%d (revision %d)", p.Part+1, p.Revision))
		}
	}
	text := strings.Join(texts, ", ")
	if of > len(parts) {
		text += fmt.Sprintf(" of %d: the others were not carried out, or had nothing to change", of)
	}
	return text
}
