package lbstatus

import (
	"context"
	"sync"
	"time"
)

// Board holds the latest Report of every pool of one balancer. One writer
// publishes; any number of readers look or wait. The zero Board is not usable;
// make one with NewBoard.
type Board struct {
	mu    sync.Mutex
	order []string
	pools map[string]*slot
}

type slot struct {
	report  Report
	changed chan struct{} // closed when report is replaced
}

// NewBoard returns a board for these pools, in this order. Each starts with an
// empty report: nothing seen, nothing applied.
func NewBoard(pools ...string) *Board {
	b := &Board{}
	b.SetPools(pools...)
	return b
}

// SetPools says which pools there are from now on, in this order. Those that
// stay keep their reports; new ones begin empty; whoever waits for one that is
// gone learns that.
func (b *Board) SetPools(pools ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.pools
	b.order, b.pools = pools, make(map[string]*slot, len(pools))
	for _, name := range pools {
		if b.pools[name] = old[name]; old[name] == nil {
			b.pools[name] = &slot{report: Report{Pool: name}, changed: make(chan struct{})}
		}
		delete(old, name)
	}
	for _, gone := range old {
		close(gone.changed)
	}
}

// Publish replaces the report of its pool and wakes those who wait for it. A
// pool the board does not know is ignored.
func (b *Board) Publish(r Report) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.pools[r.Pool]
	if !ok {
		return
	}
	s.report = r
	close(s.changed)
	s.changed = make(chan struct{})
}

// Pools returns the names of the pools, in the order of the configuration.
func (b *Board) Pools() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.order
}

// Report returns the pool's latest report, and false for an unknown pool.
func (b *Board) Report(pool string) (Report, bool) {
	r, _, ok := b.look(pool)
	return r, ok
}

// Wait returns the pool's report as soon as revision is applied, or the latest
// one when ctx ends first; the caller tells the two apart by Applied. False
// means the pool is unknown.
func (b *Board) Wait(ctx context.Context, pool string, revision int64) (Report, bool) {
	for {
		r, changed, ok := b.look(pool)
		if !ok || r.Applied >= revision {
			return r, ok
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return b.Report(pool)
		}
	}
}

func (b *Board) look(pool string) (Report, <-chan struct{}, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.pools[pool]
	if !ok {
		return Report{}, nil, false
	}
	return s.report.fresh(time.Now()), s.changed, true
}
