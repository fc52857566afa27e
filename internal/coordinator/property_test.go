package coordinator

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sluice-lb/sluice/internal/lb"
)

var (
	thresholds = rapid.SampledFrom([]float64{0, .1, .2, .3, .5, .6, .66, .75, 1, 1.5})
	states     = rapid.SampledFrom([]lb.State{lb.Unknown, lb.Up, lb.Up, lb.Down})
	admins     = rapid.SampledFrom([]lb.AdminDepool{lb.GuardDepool, lb.HonourDepool})
)

// drawPool draws which of up to twelve servers are listed, and how.
func drawPool(t *rapid.T, revision int64) (lb.Pool, lb.Verdicts) {
	pool, verdicts := lb.Pool{Service: "web", Revision: revision}, lb.Verdicts{}
	for i := range rapid.IntRange(0, 12).Draw(t, "servers") {
		b := lb.Backend{
			Host:     fmt.Sprintf("s%02d", i),
			Weight:   rapid.IntRange(0, 20).Draw(t, "weight"),
			Enabled:  rapid.IntRange(0, 3).Draw(t, "enabled") > 0,
			Revision: rapid.Int64Range(1, revision).Draw(t, "revision"),
		}
		if rapid.IntRange(0, 9).Draw(t, "resolved") > 0 {
			b.Addr = netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
		}
		if rapid.IntRange(0, 9).Draw(t, "listed") > 0 {
			pool.Backends = append(pool.Backends, b)
		}
		verdicts[b.Host] = lb.Verdict{State: states.Draw(t, "state")}
	}
	return pool, verdicts
}

// TestProperties lives through arbitrary histories and checks every decision.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		svc := lb.Service{Name: "web", Threshold: thresholds.Draw(t, "threshold"), Admin: admins.Draw(t, "admin")}
		var previous *Assignment
		for step := range rapid.IntRange(1, 8).Draw(t, "steps") {
			pool, verdicts := drawPool(t, int64(step)+1)
			a := Assign(svc, pool, verdicts, previous)
			checkMembers(t, svc, pool, verdicts, a)
			checkHistory(t, svc, a, previous)
			if diff := cmp.Diff(a, Assign(svc, pool, verdicts, previous), compareAddr); diff != "" {
				t.Fatalf("not deterministic:\n%s", diff)
			}
			if diff := cmp.Diff(a, Assign(svc, pool, verdicts, &a), compareAddr); diff != "" {
				t.Fatalf("not idempotent (-first +second):\n%s", diff)
			}
			previous = &a
		}
	})
}

// checkMembers holds for a decision by itself.
func checkMembers(t *rapid.T, svc lb.Service, pool lb.Pool, verdicts lb.Verdicts, a Assignment) {
	if len(a.Members) != len(pool.Backends) {
		t.Fatalf("%d members of %d backends", len(a.Members), len(pool.Backends))
	}
	for i, m := range a.Members {
		if m.Backend != pool.Backends[i] || m.Verdict != verdicts[m.Host] {
			t.Fatalf("member %d is %+v, want backend %+v and verdict %+v", i, m, pool.Backends[i], verdicts[m.Host])
		}
		wantsOut := !m.Enabled || m.Verdict.State == lb.Down
		switch {
		case m.Serving && !m.Addr.IsValid():
			t.Fatalf("%s serves without an address", m.Host)
		case m.Held != (m.Serving && wantsOut):
			t.Fatalf("%s: held %v, serving %v, wants out %v", m.Host, m.Held, m.Serving, wantsOut)
		case m.Serving && !m.Enabled && svc.Admin == lb.HonourDepool:
			t.Fatalf("%s is disabled and serves, though that is to be honoured", m.Host)
		case m.Enabled && m.Addr.IsValid() && m.Verdict.State == lb.Up && !m.Serving:
			t.Fatalf("%s is enabled and up and does not serve", m.Host)
		case m.Reason == "":
			t.Fatalf("%s has no reason", m.Host)
		}
	}
}

// checkHistory holds between a decision and the one before.
func checkHistory(t *rapid.T, svc lb.Service, a Assignment, previous *Assignment) {
	served := map[string]bool{}
	if previous != nil {
		for _, m := range previous.Members {
			served[m.Host] = m.Serving
		}
	}
	possible, serving := 0, 0
	for _, m := range a.Members {
		came := m.Serving && !served[m.Host]
		switch {
		case !m.Enabled && came:
			t.Fatalf("%s is disabled and came back", m.Host)
		case previous != nil && came && m.Held && m.Verdict.State != lb.Down:
			t.Fatalf("%s came in held, but is not down", m.Host)
		}
		if m.Addr.IsValid() && (m.Enabled || served[m.Host] && svc.Admin == lb.GuardDepool) {
			possible++
		}
		serving += one(m.Serving)
	}
	need := float64(len(a.Members)) * svc.Threshold
	if float64(serving) < need && serving < possible {
		t.Fatalf("%d serve, %d could, %v needed", serving, possible, need)
	}
}

// pybal is the state machine of PyBal's coordinator for enabled servers, one
// check result at a time, as a yardstick: everything starts up and pooled.
type pybal struct {
	threshold          float64
	down, out, waiting []bool
}

func (p *pybal) canDepool() bool {
	up := 0
	for _, down := range p.down {
		up += one(!down)
	}
	return float64(up) >= float64(len(p.down))*p.threshold
}

func (p *pybal) result(i int, down bool) {
	switch {
	case down && !p.down[i]:
		p.down[i] = true
		p.depool(i)
	case !down && p.down[i]:
		p.down[i], p.out[i], p.waiting[i] = false, false, false
		for j, waiting := range p.waiting {
			if waiting && p.canDepool() {
				p.waiting[j], p.out[j] = false, true
			}
		}
	}
}

func (p *pybal) depool(i int) {
	if p.canDepool() {
		p.out[i] = true
	} else {
		p.waiting[i] = true
	}
}

// TestLikePyBal compares with PyBal over arbitrary sequences of check results.
func TestLikePyBal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 9).Draw(t, "servers")
		w := newWorld(thresholds.Draw(t, "threshold"), n)
		model := &pybal{w.svc.Threshold, make([]bool, n), make([]bool, n), make([]bool, n)}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			i := rapid.IntRange(0, n-1).Draw(t, "server")
			down := rapid.Bool().Draw(t, "down")
			state := lb.Up
			if down {
				state = lb.Down
			}
			w.verdicts[w.pool.Backends[i].Host] = lb.Verdict{State: state}
			model.result(i, down)
			for i, m := range w.assign().Members {
				if m.Serving == model.out[i] || m.Held != model.waiting[i] {
					t.Fatalf("%s serving %v held %v; PyBal: pooled %v, marked down but pooled %v",
						m.Host, m.Serving, m.Held, !model.out[i], model.waiting[i])
				}
			}
		}
	})
}

// TestBatch checks that failures, and disables, that arrive together end as
// they would have ended one after another.
func TestBatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 9).Draw(t, "servers")
		verb := rapid.SampledFrom([]string{"down", "disable"}).Draw(t, "verb")
		together, single := newWorld(.5, n), newWorld(.5, n)
		together.svc.Threshold = thresholds.Draw(t, "threshold")
		single.svc = together.svc
		together.assign()
		single.assign()
		for i := range n {
			if !rapid.Bool().Draw(t, "hit") {
				continue
			}
			for _, w := range []*world{together, single} {
				w.pool.Revision++
				if verb == "down" {
					w.verdicts[w.pool.Backends[i].Host] = lb.Verdict{State: lb.Down}
				} else {
					w.pool.Backends[i].Enabled = false
					w.pool.Backends[i].Revision = w.pool.Revision
				}
			}
			single.assign()
		}
		if got, want := serving(together.assign()), serving(single.assign()); got != want {
			t.Fatalf("together %q serve, one by one %q", got, want)
		}
	})
}
