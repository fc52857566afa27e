package health

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestEveryKeepsItsRate(t *testing.T) {
	const interval = 10 * time.Second
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		start, n := time.Now(), 0
		every(ctx, interval, func() {
			due := start.Add(time.Duration(n) * interval)
			if late := time.Since(due); late < 0 || late > interval/10 {
				t.Errorf("call %d is %v late", n, late)
			}
			time.Sleep(3 * time.Second) // a slow check moves nothing
			if n++; n == 200 {
				cancel()
			}
		})
		if n != 200 {
			t.Errorf("%d calls, want 200", n)
		}
	})
}

func TestEverySkipsWhatItOverruns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 99*time.Second)
		defer cancel()
		n := 0
		every(ctx, 10*time.Second, func() { n++; time.Sleep(25 * time.Second) })
		if n != 4 { // at 0, 30, 60 and 90 s
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
