package balancer

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-lb/sluice/internal/dataplane"
	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// An engine with nothing to do answers; one that a neighbour holds does not.
func TestPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := slog.New(slog.DiscardHandler)
		release := make(chan struct{})
		var stuck atomic.Bool
		tables := dataplane.NewReconciler(dataplane.NewMemory(nil, dataplane.Hooks{}), log)
		e := New(nil, Neighbours{
			Tables: tables, Board: lbstatus.NewBoard(), Log: log,
			Connections: func() map[dataplane.ServiceID]map[netip.AddrPort]int {
				if stuck.Load() {
					<-release
				}
				return nil
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = e.Run(ctx) }()
		ping := func() error {
			ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
			defer cancel()
			return e.Ping(ctx)
		}
		if err := ping(); err != nil {
			t.Errorf("idle: %v", err)
		}
		stuck.Store(true)
		time.Sleep(2 * countEvery) // the bubble's clock
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
