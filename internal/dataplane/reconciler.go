package dataplane

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Reconciler keeps a plane at the table that is wanted. Whoever wants one calls
// Set, from any goroutine and as often as they like; Run alone touches the
// plane.
type Reconciler struct {
	plane   Plane
	log     *slog.Logger
	repair  time.Duration
	backoff backoff
	wake    chan struct{} // holds a token while pending is news
	pings   chan struct{}
	results chan Result // only Run sends

	mu      sync.Mutex
	pending Wanted
}

// Option changes how a Reconciler works.
type Option func(*Reconciler)

// WithRepair sets how often the plane is read and brought back to what is
// wanted though nothing new is; 30 s unless set, never if 0.
func WithRepair(every time.Duration) Option {
	return func(r *Reconciler) { r.repair = every }
}

// WithBackoff sets how long to wait before the first retry, and the bound to
// which that doubles; 50 ms and 5 s unless set. Less than a millisecond is taken
// for one.
func WithBackoff(first, most time.Duration) Option {
	first = max(first, time.Millisecond)
	return func(r *Reconciler) { r.backoff = backoff{first: first, most: max(first, most)} }
}

// NewReconciler returns a Reconciler of the plane. It does nothing before Run,
// and touches nothing before the first Set.
func NewReconciler(plane Plane, log *slog.Logger, opts ...Option) *Reconciler {
	r := &Reconciler{
		plane:   plane,
		log:     log,
		repair:  30 * time.Second,
		backoff: backoff{first: 50 * time.Millisecond, most: 5 * time.Second},
		wake:    make(chan struct{}, 1),
		pings:   make(chan struct{}),
		results: make(chan Result, 1),
	}
	for _, opt := range opts {
		opt(r)
	}
	return r
}

// Set says what is wanted from now on, whole. It never waits. Of several set in
// quick succession only the latest counts: the one with the highest version,
// whatever the order they arrive in. The table must not be written to
// afterwards.
func (r *Reconciler) Set(w Wanted) {
	r.mu.Lock()
	if w.Version < r.pending.Version {
		r.mu.Unlock()
		return
	}
	r.pending = w
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Results delivers what came of the latest Wanted, and of every later attempt
// that changed or failed to change the plane. A reader that is slow gets only
// the newest. The channel is never closed.
func (r *Reconciler) Results() <-chan Result { return r.results }

// Run does the work until ctx ends, and then returns nil: the table stays as it
// is. Call it once.
func (r *Reconciler) Run(ctx context.Context) error {
	l := newLoop(r)
	var repair <-chan time.Time
	if r.repair > 0 {
		ticker := time.NewTicker(r.repair)
		defer ticker.Stop()
		repair = ticker.C
	}
	retry := time.NewTimer(0)
	retry.Stop()
	defer retry.Stop()
	heard := false
	for {
		var why reason
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
			why, heard = news, true
			l.adopt(r.latest())
			r.backoff.reset()
		case <-r.pings:
			continue
		case <-retry.C:
			why = again
		case <-repair:
			if !heard {
				continue
			}
			why = check
		}
		err := l.pass(ctx, why)
		if ctx.Err() != nil {
			return nil
		}
		retry.Stop()
		if err != nil {
			retry.Reset(r.backoff.next())
		} else {
			r.backoff.reset()
		}
	}
}

func (r *Reconciler) latest() Wanted {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pending
}

// publish replaces a result that nobody has read yet. Run alone calls it, so
// there is room once the old one is out.
func (r *Reconciler) publish(result Result) {
	select {
	case <-r.results:
	default:
	}
	r.results <- result
}

// backoff is a delay that doubles up to a bound.
type backoff struct {
	first, most, delay time.Duration
}

func (b *backoff) reset() { b.delay = 0 }

func (b *backoff) next() time.Duration {
	b.delay = min(max(2*b.delay, b.first), b.most)
	return b.delay
}
