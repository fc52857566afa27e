package dataplane

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Memory is a Plane that holds its table in memory and forwards nothing.
type Memory struct {
	hooks Hooks

	mu    sync.Mutex
	table Table
}

// Hooks make a Memory fail, or watch it. Both may be nil; neither may call the
// plane.
type Hooks struct {
	// Read is called before every Read, which fails with its error.
	Read func() error
	// Op is called before every op, which fails with its error and then
	// changes nothing.
	Op func(Op) error
}

// NewMemory returns a plane that holds the table.
func NewMemory(table Table, hooks Hooks) *Memory {
	return &Memory{hooks: hooks, table: slices.Clone(table)}
}

// Read returns the table. It fails only if its hook does.
func (m *Memory) Read(context.Context) (Table, error) {
	if m.hooks.Read != nil {
		if err := m.hooks.Read(); err != nil {
			return nil, fmt.Errorf("read table: %w", err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.table), nil
}

// Apply carries out the plan. An op fails if its hook does, or if it changes a
// service or destination that is not there.
func (m *Memory) Apply(_ context.Context, plan Plan) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	for _, op := range plan {
		if err := m.do(op); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", op.Describe(), err))
		}
	}
	return errors.Join(errs...)
}

func (m *Memory) do(op Op) error {
	if m.hooks.Op != nil {
		if err := m.hooks.Op(op); err != nil {
			return err
		}
	}
	return m.table.do(op)
}
