package dataplane_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-lb/sluice/internal/dataplane"
)

// A plane that fails is attended to; one that does not return is not.
func TestPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var stuck atomic.Bool
		plane := dataplane.NewMemory(nil, dataplane.Hooks{Read: func() error {
			if stuck.Load() {
				<-release
			}
			return errBroken
		}})
		rec := dataplane.NewReconciler(plane, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = rec.Run(ctx) }()
		ping := func() error {
			ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
			defer cancel()
			return rec.Ping(ctx)
		}
		rec.Set(dataplane.Wanted{Version: 1})
		synctest.Wait()
		if err := ping(); err != nil {
			t.Errorf("failing: %v", err)
		}
		stuck.Store(true)
		time.Sleep(6 * time.Second) // the bubble's clock: until the longest retry
		synctest.Wait()
		if err := ping(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("stuck: %v", err)
		}
		close(release)
		if err := ping(); err != nil {
			t.Errorf("free again: %v", err)
		}
		cancel()
		synctest.Wait()
	})
}
