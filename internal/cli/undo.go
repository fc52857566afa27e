package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/sluice-lb/sluice/pkg/state"
)

func (c *confctl) undoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "undo CHANGE",
		Short: "Take one change back",
		Long: "Take one change back: the fields it changed get the values they had, what it created is deleted, what it\n" +
			"deleted is there again. Refused where somebody has changed any of those fields since; says who.\n" +
			"An undo is a change itself and can be undone.",
		Example: "  confctl undo --dry-run 20260102T150405.000Z-0a1b2c3d\n  confctl undo --reason 'wrong host' 20260102T150405.000Z-0a1b2c3d",
		Args:    exactly("CHANGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.undo(cmd.Context(), args[0])
		},
	}
	c.writeFlags.add(cmd)
	return cmd
}

func (c *confctl) undo(ctx context.Context, id string) error {
	s, _, err := c.open()
	if err != nil {
		return err
	}
	defer s.close()
	u, err := s.store.PlanUndo(ctx, s.schema.Types(), id)
	if err != nil {
		return oneLine{err}
	}
	s.audit.Undoes = id
	t := task{action: "undo", selector: id, muts: u.Mutations()}
	if list := u.Objects(); c.asks(list) {
		t.ask = func(ctx context.Context, p plan) error { return c.confirm(ctx, list, p) }
	}
	err = c.write(ctx, s, t)
	if errors.Is(err, state.ErrConflict) { // since we looked: say by whom
		if _, who := s.store.PlanUndo(ctx, s.schema.Types(), id); who != nil {
			return oneLine{who}
		}
	}
	return err
}
