package dataplane

import (
	"context"
	"fmt"
)

// Ping returns once Run is between two passes, which proves that the plane does
// not hold it up; an error says that it has not been before ctx ended.
func (r *Reconciler) Ping(ctx context.Context) error {
	select {
	case r.pings <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("tables are not attended to: %w", ctx.Err())
	}
}
