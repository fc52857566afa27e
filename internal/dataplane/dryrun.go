package dataplane

import (
	"context"
	"fmt"
	"io"
)

// DryRun is a Plane that says what it would do, one ipvsadm line for every op,
// and otherwise behaves as if it had been done: PyBal's -n with -d.
type DryRun struct {
	memory *Memory
}

// NewDryRun returns a plane that takes the table for what is there and writes
// its lines to w. An op whose line cannot be written fails.
func NewDryRun(w io.Writer, table Table) *DryRun {
	say := func(op Op) error {
		if _, err := fmt.Fprintln(w, op); err != nil {
			return fmt.Errorf("write line: %w", err)
		}
		return nil
	}
	return &DryRun{NewMemory(table, Hooks{Op: say})}
}

// Read returns the table as it would be.
func (d *DryRun) Read(ctx context.Context) (Table, error) { return d.memory.Read(ctx) }

// Apply writes the plan's lines.
func (d *DryRun) Apply(ctx context.Context, plan Plan) error { return d.memory.Apply(ctx, plan) }
