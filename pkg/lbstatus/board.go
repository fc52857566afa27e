package lbstatus

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Board holds the latest Report of every pool of one balancer, how it stands
// with its routers, and the last changes of both. One writer publishes; any
// number of readers look, wait or follow. The zero Board is not usable; make
// one with NewBoard.
type Board struct {
	mu    sync.Mutex
	order []string
	pools map[string]*slot
	bgp   BGP
	about string // what is wrong with the balancer as a whole

	// Every change has a number; what is kept is the number of the last change
	// of each thing, never a queue: who follows gets the latest of all that
	// changed since it last looked.
	epoch    string // tells the numbers of this board from another's
	last     uint64
	orderAt  uint64
	bgpAt    uint64
	aboutAt  uint64
	changed  chan struct{} // closed at the next change
	recently ring
}

type slot struct {
	report  Report
	at      uint64        // number of the report's last change
	changed chan struct{} // closed when that is replaced
	silent  *time.Timer   // runs out when the source has been silent for too long
}

// NewBoard returns a board for these pools, in this order. Each starts with an
// empty report: nothing seen, nothing applied.
func NewBoard(pools ...string) *Board {
	b := &Board{
		epoch:   strconv.FormatInt(time.Now().UnixNano(), 36),
		changed: make(chan struct{}),
	}
	b.SetPools(pools...)
	return b
}

// SetPools says which pools there are from now on, in this order. Those that
// stay keep their reports; new ones begin empty; whoever waits for one that is
// gone learns that.
func (b *Board) SetPools(pools ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old, first := b.pools, b.pools == nil
	b.pools = make(map[string]*slot, len(pools))
	if first || !slices.Equal(b.order, pools) {
		b.order, b.orderAt = pools, b.next()
	}
	now := time.Now()
	for _, name := range pools {
		if b.pools[name] = old[name]; old[name] == nil {
			b.pools[name] = &slot{report: Report{Pool: name}.fresh(now), changed: make(chan struct{}), at: b.next()}
			if !first {
				b.recently.add(Change{At: now, Pool: name, What: "pool", From: "absent", To: "present"})
			}
		}
		delete(old, name)
	}
	for name, gone := range old {
		gone.stop()
		b.recently.add(Change{At: now, Pool: name, What: "pool", From: "present", To: "absent"})
	}
}

// stop lets go of a slot whose pool is gone.
func (s *slot) stop() {
	close(s.changed)
	if s.silent != nil {
		s.silent.Stop()
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
	now := time.Now()
	b.replace(s, r.fresh(now), now)
	if r.Source.Heard.IsZero() {
		return
	}
	left := r.Source.Heard.Add(StaleAfter).Sub(now) + time.Millisecond
	if s.silent == nil {
		s.silent = time.AfterFunc(left, func() { b.silence(s) })
		return
	}
	s.silent.Reset(left)
}

// silence notes that nothing was published about a pool for a while: its report
// is another now, although nobody said so.
func (b *Board) silence(s *slot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pools[s.report.Pool] == s {
		now := time.Now()
		b.replace(s, s.report.fresh(now), now)
	}
}

// replace takes in a report. A sign of life alone is no change.
func (b *Board) replace(s *slot, r Report, now time.Time) {
	was := s.report
	s.report = r
	if was.same(r) {
		return
	}
	b.recently.add(changes(was, r, now)...)
	s.at = b.next()
	close(s.changed)
	s.changed = make(chan struct{})
}

// next numbers a change and wakes those who follow.
func (b *Board) next() uint64 {
	b.last++
	close(b.changed)
	b.changed = make(chan struct{})
	return b.last
}

// Warn says what is wrong with the balancer as a whole; nothing if empty.
func (b *Board) Warn(about string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.about != about {
		b.about, b.aboutAt = about, b.next()
	}
}

// Warning returns what is wrong with the balancer as a whole; empty if nothing.
func (b *Board) Warning() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.about
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

// Reports returns the latest reports of all pools, in their order.
func (b *Board) Reports() []Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	all := make([]Report, 0, len(b.order))
	for _, name := range b.order {
		all = append(all, b.pools[name].report.fresh(now))
	}
	return all
}

// Changes returns the last changes, the latest first.
func (b *Board) Changes() []Change {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.recently.latest()
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
