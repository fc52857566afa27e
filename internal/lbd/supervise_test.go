package lbd

import (
	"testing"
	"time"

	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// report is one of a pool that was heard a moment ago; change makes it worse.
func report(pool string, change func(*lbstatus.Report)) lbstatus.Report {
	r := lbstatus.Report{
		Pool: pool, Source: lbstatus.SourceStatus{Heard: time.Now()},
		Members: []lbstatus.Member{{Host: "a", Up: lbstatus.UpYes, Pooled: true}, {Host: "b", Up: lbstatus.UpNo}},
	}
	if change != nil {
		change(&r)
	}
	return r
}

func TestSummary(t *testing.T) {
	board := lbstatus.NewBoard("a")
	expect := func(want string) {
		t.Helper()
		if got := summary(board); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	expect("1 service, 1 not heard of yet")
	board.Publish(report("a", nil))
	expect("1 service")
	board.Publish(report("a", func(r *lbstatus.Report) { r.Members[0].Up = lbstatus.UpUnknown }))
	expect("1 service")
	for _, worse := range []func(*lbstatus.Report){
		func(r *lbstatus.Report) { r.Source.Error = "gone" },
		func(r *lbstatus.Report) { r.Source.Heard = time.Now().Add(-time.Minute) },
		func(r *lbstatus.Report) { r.Error = "refused" },
		func(r *lbstatus.Report) { r.Members[0].Pooled = false },
		func(r *lbstatus.Report) { r.Members[0].Up = lbstatus.UpNo },
		func(r *lbstatus.Report) { r.Source, r.Error = lbstatus.SourceStatus{}, "refused" },
	} {
		board.Publish(report("a", worse))
		expect("1 service, 1 in trouble: a")
	}
	board.SetPools("a", "b", "c", "d", "e", "f", "g", "h")
	for _, pool := range []string{"b", "c", "d", "e", "f"} {
		board.Publish(report(pool, func(r *lbstatus.Report) { r.Members = nil }))
	}
	board.Publish(report("g", nil))
	expect("8 services, 1 not heard of yet, 6 in trouble: a, b, c, d, e, …")
}
