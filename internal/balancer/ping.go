package balancer

import (
	"context"
	"fmt"
)

// Ping returns once the engine's loop has come round to it, which proves that it
// is not stuck; an error says that it has not before ctx ended.
func (e *Engine) Ping(ctx context.Context) error {
	select {
	case e.pings <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("engine does not answer: %w", ctx.Err())
	}
}
