package userspace

import (
	"math"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-lb/sluice/internal/dataplane"
)

func dest(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 80)
}

func client(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)})
}

func poolOf(scheduler string, weights ...int) *pool {
	p := newPool(dataplane.Service{Scheduler: scheduler}, newLedger())
	for i, w := range weights {
		p.add(dataplane.Destination{Addr: dest(i), Weight: w})
	}
	return p
}

// picks takes n connections that end at once and counts them.
func picks(p *pool, n int) map[netip.AddrPort]int {
	got := map[netip.AddrPort]int{}
	for i := range n {
		if d, ok := p.take(client(i), nil); ok {
			got[d]++
			p.give(d)
		}
	}
	return got
}

func drawWeights(t *rapid.T) (weights []int, sum int) {
	weights = rapid.SliceOfN(rapid.IntRange(0, 5), 1, 6).Draw(t, "weights")
	for _, w := range weights {
		sum += w
	}
	return weights, sum
}

func TestWeightedRoundRobinIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scheduler := rapid.SampledFrom([]string{"wrr", "sed", ""}).Draw(t, "scheduler")
		weights, sum := drawWeights(t)
		p := poolOf(scheduler, weights...)
		for range 3 {
			got := picks(p, sum)
			for i, w := range weights {
				if got[dest(i)] != w {
					t.Fatalf("destination %d of weight %d got %d of %d", i, w, got[dest(i)], sum)
				}
			}
		}
	})
}

func TestRoundRobinIgnoresWeightsButZero(t *testing.T) {
	got := picks(poolOf("rr", 1, 0, 7), 10)
	if got[dest(0)] != 5 || got[dest(1)] != 0 || got[dest(2)] != 5 {
		t.Errorf("got %v", got)
	}
}

// Connections that stay open end up in proportion to the weights.
func TestLeastConnections(t *testing.T) {
	for scheduler, want := range map[string][3]int{"lc": {20, 20, 20}, "wlc": {10, 20, 30}} {
		p := poolOf(scheduler, 1, 2, 3)
		for i := range 60 {
			p.take(client(i), nil)
		}
		for i, n := range want {
			if got := p.ledger.count(p.id, dest(i)); got != n {
				t.Errorf("%s: destination %d has %d connections, want %d", scheduler, i, got, n)
			}
		}
		// Whoever becomes free is next.
		p.give(dest(1))
		if d, _ := p.take(client(0), nil); d != dest(1) {
			t.Errorf("%s: got %s, want %s", scheduler, d, dest(1))
		}
	}
}

func TestHashedIsConsistent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scheduler := rapid.SampledFrom([]string{"sh", "mh"}).Draw(t, "scheduler")
		weights, sum := drawWeights(t)
		if sum == 0 {
			return
		}
		whole, less := poolOf(scheduler, weights...), poolOf(scheduler, weights...)
		gone := rapid.IntRange(0, len(weights)-1).Draw(t, "gone")
		less.remove(dest(gone))
		for i := range 50 {
			before, _ := whole.take(client(i), nil)
			if again, _ := whole.take(netip.AddrFrom16(client(i).As16()), nil); again != before {
				t.Fatalf("client %d went to %s and %s", i, before, again)
			}
			after, _ := less.take(client(i), nil)
			if before != dest(gone) && after != before {
				t.Fatalf("client %d moved from %s to %s though %s went", i, before, after, dest(gone))
			}
		}
	})
}

func TestHashedSharesByWeight(t *testing.T) {
	const n = 20_000
	got := picks(poolOf("mh", 1, 2, 0, 5), n)
	for i, w := range []int{1, 2, 0, 5} {
		want := n * float64(w) / 8
		if math.Abs(float64(got[dest(i)])-want) > 0.02*n {
			t.Errorf("destination %d of weight %d got %d of %d, want about %.0f", i, w, got[dest(i)], n, want)
		}
	}
}

func TestTakePassesOverTheTried(t *testing.T) {
	for _, scheduler := range []string{"rr", "wrr", "lc", "wlc", "sh"} {
		p := poolOf(scheduler, 1, 0, 5, 2)
		var tried []netip.AddrPort
		for {
			d, ok := p.take(client(1), tried)
			if !ok {
				break
			}
			tried = append(tried, d)
			if len(tried) > 3 {
				t.Fatalf("%s: somebody was picked twice: %v", scheduler, tried)
			}
		}
		if len(tried) != 3 {
			t.Errorf("%s: got %v, want the three with weight", scheduler, tried)
		}
	}
}

// A heavy member that becomes light does not wait until its debt is paid.
func TestWeightChangeTakesEffectAtOnce(t *testing.T) {
	p := poolOf("wrr", 1000, 1)
	picks(p, 500)
	p.edit(dataplane.Destination{Addr: dest(0), Weight: 1})
	if got := picks(p, 10); got[dest(0)] != 5 || got[dest(1)] != 5 {
		t.Errorf("got %v, want half each", got)
	}
}
