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

// every calls do at a fixed rate until ctx ends, at once for the first time.
// Each call comes late by a random part of a tenth of the interval, so that
// the servers of a pool are not all looked at in the same instant. Calls that
// overrun their interval make the ones they cover be skipped.
func every(ctx context.Context, interval time.Duration, do func()) {
	start := time.Now()
	for n := 0; ; {
		late := time.Duration(rand.Float64() * float64(interval) / 10)
		if !sleep(ctx, time.Until(start.Add(time.Duration(n)*interval+late))) {
			return
		}
		do()
		n = max(n+1, int(time.Since(start)/interval)+1)
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
