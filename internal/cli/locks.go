package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (c *confctl) locksCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "locks",
		Short: "List who holds or waits for a lock",
		Long: "List who holds or waits for which lock in the store: a sync while it writes, a host that restarts\n" +
			"under --max-concurrency. A lock is freed within ten seconds of the death of the process that holds it; there is\n" +
			"nothing to break by hand.",
		Example: "  confctl locks\n  confctl locks -o json",
		Args:    exactly(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.listLocks(cmd.Context()) },
	}
	c.outputFlag(cmd.Flags())
	return cmd
}

func (c *confctl) listLocks(ctx context.Context) error {
	s, _, err := c.open()
	if err != nil {
		return err
	}
	defer s.close()
	all, err := s.store.Locks(ctx)
	if err != nil {
		return err
	}
	list := table{head: []string{"LOCK", "STATE", "SINCE", "WHO", "COMMAND", "REASON"}}
	for _, l := range all {
		state := cell{text: "waits", tint: yellow}
		if l.Holds {
			state = cell{text: "holds"}
		}
		list.add(l, cell{text: l.Name}, state, cell{text: l.Since.Format(time.RFC3339)},
			cell{text: l.User + "@" + l.Host}, cell{text: strings.Join(l.Command, " ")}, cell{text: l.Reason})
	}
	return list.print(c.env, c.output)
}
