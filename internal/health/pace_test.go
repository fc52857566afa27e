package health

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestEveryKeepsItsRate(t *testing.T) {
	const interval = 10 * time.Second
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		var calls []time.Duration
		every(ctx, interval, func() {
			calls = append(calls, time.Since(start))
			time.Sleep(3 * time.Second) // a slow check moves nothing
			if len(calls) == 200 {
				cancel()
			}
		})
		if len(calls) != 200 {
			t.Fatalf("%d calls, want 200", len(calls))
		}
		if calls[0] > interval/10 || calls[1] < interval/2 || calls[1] > interval*3/2 {
			t.Errorf("the first calls come after %v and %v", calls[0], calls[1])
		}
		for i := 2; i < len(calls); i++ {
			if gap := calls[i] - calls[i-1]; gap != interval {
				t.Errorf("call %d comes %v after the one before", i, gap)
			}
		}
	})
}

// A thousand servers are looked at evenly, from the second round on.
func TestEverySpreadsAPool(t *testing.T) {
	const servers, interval = 1000, 10 * time.Second
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 35*time.Second)
		defer cancel()
		start := time.Now()
		var mu sync.Mutex
		var seconds [35]int
		var running sync.WaitGroup
		for range servers {
			running.Go(func() {
				every(ctx, interval, func() {
					mu.Lock()
					defer mu.Unlock()
					seconds[int(time.Since(start).Seconds())]++
				})
			})
		}
		running.Wait()
		if seconds[0] != servers {
			t.Errorf("%d of %d were looked at in the first second", seconds[0], servers)
		}
		for s := 15; s < 35; s++ {
			if seconds[s] < servers/20 || seconds[s] > servers/5 {
				t.Errorf("%d looks in second %d, want about %d", seconds[s], s, servers/10)
			}
		}
	})
}

func TestEverySkipsWhatItOverruns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 99*time.Second)
		defer cancel()
		n := 0
		every(ctx, 10*time.Second, func() { n++; time.Sleep(25 * time.Second) })
		if n != 4 { // 25 s each, the next at the next time due
			t.Errorf("%d calls in 99 s, want 4", n)
		}
	})
}

// Case C46: 2.7, 7.4, 20 … up to the longest, and again from the start.
func TestBackoff(t *testing.T) {
	const longest = 300 * time.Second
	for range 500 {
		b := backoff{max: longest}
		for round := range 2 {
			for i, mean := range []float64{2.718, 7.388, 20.08, 54.58, 148.3, 300, 300} {
				d := b.next()
				least, most := mean*(1-.37), min(mean*(1+.37), longest.Seconds())
				if s := d.Seconds(); s < least || s > most {
					t.Fatalf("round %d pause %d is %v, want %.1f to %.1f s", round, i, d, least, most)
				}
			}
			b.reset()
		}
	}
}

func TestBackoffUnderASecond(t *testing.T) {
	b := backoff{max: 200 * time.Millisecond}
	if d := b.next(); d > 200*time.Millisecond || d < 100*time.Millisecond {
		t.Errorf("pause is %v, want about 200ms and no more", d)
	}
}
