package health

import (
	"context"
	"math/rand/v2"
	"time"
)

// sleep waits for d, and reports false if ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// every calls do at a fixed rate until ctx ends. The first call comes soon,
// within a tenth of the interval; the second half an interval to one and a
// half after the start, at random, so that the servers of a pool are looked at
// evenly over the interval and not all in the same instant. Calls that overrun
// their interval make the ones they cover be skipped.
func every(ctx context.Context, interval time.Duration, do func()) {
	first := time.Duration(rand.Float64() * float64(interval) / 10)
	start := time.Now().Add(time.Duration((rand.Float64() - 0.5) * float64(interval)))
	if !sleep(ctx, first) {
		return
	}
	do()
	for n := 0; ; {
		n = max(n+1, int(time.Since(start)/interval)+1)
		if !sleep(ctx, time.Until(start.Add(time.Duration(n)*interval))) {
			return
		}
		do()
	}
}

// backoff spaces repeated attempts as PyBal does: each pause is 2.718 times
// the one before, starting from a second, with a jitter of a standard
// deviation of 12 %. Unlike in PyBal, no pause is longer than max.
type backoff struct {
	max  time.Duration
	last time.Duration
}

func (b *backoff) next() time.Duration {
	if b.last == 0 {
		b.last = time.Second
	}
	b.last = min(time.Duration(float64(b.last)*2.718), b.max)
	spread := max(-3, min(3, rand.NormFloat64()))
	return min(b.last+time.Duration(float64(b.last)*0.12*spread), b.max)
}

func (b *backoff) reset() { b.last = 0 }
