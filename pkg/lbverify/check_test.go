package lbverify

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

func TestCheck(t *testing.T) {
	report := func(m lbstatus.Member) lbstatus.Report {
		m.Host = "h"
		return lbstatus.Report{Pool: "p", Seen: 15, Applied: 15, Members: []lbstatus.Member{{Host: "other"}, m}}
	}
	serving := lbstatus.Member{Enabled: true, Up: lbstatus.UpYes, Pooled: true, Reason: "up"}
	held := lbstatus.Member{Up: lbstatus.UpYes, Pooled: true, Held: true, Reason: "held by threshold"}
	out := lbstatus.Member{Up: lbstatus.UpNo, Reason: "disabled", Health: "connection refused"}
	down := lbstatus.Member{Enabled: true, Up: lbstatus.UpNo, Reason: "down", Health: "connection refused"}
	unknown := lbstatus.Member{Enabled: true, Up: lbstatus.UpUnknown, Pooled: true, Reason: "unknown, kept"}
	absent := lbstatus.Report{Pool: "p", Seen: 15, Applied: 15}
	behind := lbstatus.Report{Pool: "p", Seen: 15, Applied: 12, Error: "plane refuses"}
	for _, c := range []struct {
		name        string
		report      lbstatus.Report
		want        Want
		outcome     Outcome
		got, reason string
	}{
		{"out", report(out), Out, Confirmed, "disabled/down/not pooled", ""},
		{"out absent", absent, Out, Confirmed, "absent", ""},
		{"out held", report(held), Out, Refuted, "disabled/up/pooled", "held by threshold"},
		{"out serving", report(serving), Out, Refuted, "enabled/up/pooled", "up"},
		{"out but only down", report(down), Out, Refuted, "enabled/down/not pooled", "down, connection refused"},
		{"out behind", behind, Out, Unknown, "absent", "applied 12, want 15: plane refuses"},
		{"out before anything", lbstatus.Report{Pool: "p"}, Out, Unknown, "", "balancer has applied nothing yet"},
		{"other pool", lbstatus.Report{Pool: "q", Seen: 15, Applied: 15}, Out, Unknown, "", `answer is about pool "q"`},
		{"in", report(serving), In, Confirmed, "enabled/up/pooled", ""},
		{"in absent", absent, In, Refuted, "absent", "the pool does not list it"},
		{"in down", report(down), In, Refuted, "enabled/down/not pooled", "down, connection refused"},
		{"in unknown", report(unknown), In, Refuted, "enabled/partially up/pooled", "unknown, kept"},
		{"gone", absent, Gone, Confirmed, "absent", ""},
		{"gone out", report(out), Gone, Refuted, "disabled/down/not pooled", "the pool still lists it"},
		{"gone behind", behind, Gone, Unknown, "absent", "applied 12, want 15: plane refuses"},
		{"in held", report(held), In, Refuted, "disabled/up/pooled", "held by threshold"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := Expectation{Pool: "p", Host: "h", Want: c.want, Revision: 15}
			want := Finding{Expectation: e, Outcome: c.outcome, Got: c.got, Reason: c.reason}
			if diff := cmp.Diff(want, Check(c.report, e)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// A balancer that reads its pool from a file counts for itself, in numbers that
// dwarf any store's: they must never pass for having applied a write.
func TestLocalRevisionsConfirmNoWrite(t *testing.T) {
	report := lbstatus.Report{
		Pool: "p", Seen: 1_700_000_000_000_000, Applied: 1_700_000_000_000_000,
		Source:  lbstatus.SourceStatus{URL: "file:///pool", Revisions: lbstatus.LocalRevisions},
		Members: []lbstatus.Member{{Host: "out"}, {Host: "in", Enabled: true, Up: lbstatus.UpYes, Pooled: true}},
	}
	for _, revisions := range []lbstatus.Revisions{lbstatus.LocalRevisions, "of a kind not known yet"} {
		report.Source.Revisions = revisions
		for host, want := range map[string]Want{"out": Out, "in": In} {
			e := Expectation{Pool: "p", Host: host, Want: want, Revision: 15}
			f := Check(report, e)
			if f.Outcome != Unknown || f.Reason != "balancer reads the pool from file:///pool and cannot tell whether revision 15 has reached it" {
				t.Errorf("%s by %q: %+v", host, revisions, f)
			}
			// Without a write to wait for it is judged as it is.
			e.Revision = 0
			if f := Check(report, e); f.Outcome != Confirmed {
				t.Errorf("%s as it is: %+v", host, f)
			}
		}
	}
	report.Source.Revisions = lbstatus.StoreRevisions
	if f := Check(report, Expectation{Pool: "p", Host: "out", Want: Out, Revision: 15}); f.Outcome != Confirmed {
		t.Errorf("of the store: %+v", f)
	}
}

func TestCheckPyBal(t *testing.T) {
	for _, c := range []struct {
		state   lbstatus.ServerState
		out, in Outcome
	}{
		{lbstatus.ServerState{}, Confirmed, Refuted},
		{lbstatus.ServerState{Up: true}, Confirmed, Refuted},
		{lbstatus.ServerState{Pooled: true, Up: true}, Refuted, Refuted},
		{lbstatus.ServerState{Enabled: true, Up: true}, Refuted, Refuted},
		{lbstatus.ServerState{Enabled: true, Pooled: true}, Refuted, Refuted},
		{lbstatus.ServerState{Enabled: true, Pooled: true, Up: true}, Refuted, Confirmed},
	} {
		if got := CheckPyBal(c.state, Expectation{Want: Out}).Outcome; got != c.out {
			t.Errorf("out of %v: %v", c.state, got)
		}
		if got := CheckPyBal(c.state, Expectation{Want: In}).Outcome; got != c.in {
			t.Errorf("in of %v: %v", c.state, got)
		}
	}
}

func drawReport(t *rapid.T) lbstatus.Report {
	hosts := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"h", "i", "j"}), 0, 3, rapid.ID).Draw(t, "hosts")
	r := lbstatus.Report{
		Pool:      rapid.SampledFrom([]string{"p", "q"}).Draw(t, "pool"),
		Applied:   rapid.Int64Range(-1, 4).Draw(t, "applied"),
		Threshold: rapid.Float64Range(0, 1).Draw(t, "threshold"),
	}
	for _, h := range hosts {
		r.Members = append(r.Members, lbstatus.Member{
			Host:    h,
			Enabled: rapid.Bool().Draw(t, "enabled"),
			Pooled:  rapid.Bool().Draw(t, "pooled"),
			Held:    rapid.Bool().Draw(t, "held"),
			Up:      rapid.SampledFrom([]lbstatus.Up{lbstatus.UpYes, lbstatus.UpNo, lbstatus.UpUnknown}).Draw(t, "up"),
		})
	}
	return r
}

// TestNothingServingIsOut is the property everything else rests on.
func TestNothingServingIsOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawReport(t)
		e := Expectation{
			Pool: "p", Host: "h", Revision: rapid.Int64Range(0, 4).Draw(t, "revision"),
			Want: rapid.SampledFrom([]Want{Out, In}).Draw(t, "want"),
		}
		f := Check(r, e)
		if f.Outcome != Confirmed {
			if f.Got == "" && f.Reason == "" {
				t.Fatal("neither got nor reason")
			}
			return
		}
		m, listed := r.Member("h")
		switch {
		case r.Pool != e.Pool || r.Applied < e.Revision || r.Applied <= 0:
			t.Fatalf("confirmed by %+v", r)
		case e.Want == Out && listed && (m.Pooled || m.Enabled):
			t.Fatalf("out confirmed by %+v", m)
		case e.Want == In && !(listed && m.Pooled && m.Enabled && m.Up == lbstatus.UpYes):
			t.Fatalf("in confirmed by %+v", m)
		}
	})
}

func TestAll(t *testing.T) {
	good := Finding{Outcome: Confirmed}
	bad := Finding{Balancer: "lvs1", Expectation: Expectation{Pool: "p", Host: "h"}, Outcome: Refuted, Got: "disabled/up/pooled", Reason: "held by threshold"}
	if err := All([]Finding{good, good}); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		findings []Finding
		want     string
	}{
		{nil, "no balancer was asked"},
		{[]Finding{good, {}}, "unknown"},
		{[]Finding{good, bad}, "lvs1: h in p refuted: want disabled/*/not pooled, got disabled/up/pooled: held by threshold"},
	} {
		if err := All(c.findings); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

func TestHeadroom(t *testing.T) {
	pool := func(threshold float64, states string) lbstatus.Report {
		r := lbstatus.Report{Pool: "p", Applied: 1, Threshold: threshold}
		for i, s := range states {
			m := lbstatus.Member{Host: string(rune('a' + i)), Enabled: true, Up: lbstatus.UpYes, Pooled: true}
			switch s {
			case 'd':
				m.Up, m.Pooled = lbstatus.UpNo, false
			case 'n':
				m.Enabled, m.Pooled = false, false
			case 'u':
				m.Up = lbstatus.UpUnknown
			}
			r.Members = append(r.Members, m)
		}
		return r
	}
	for _, c := range []struct {
		name    string
		report  lbstatus.Report
		leaving []string
		want    []string
	}{
		{"room", pool(.5, "yyyy"), []string{"a", "b"}, nil},
		{"under", pool(.5, "yyyy"), []string{"a", "b", "c"}, []string{"pool p: 1 healthy of 4 would be left, threshold 0.5 wants 2"}},
		{"others down", pool(.5, "ydd"), []string{"a"}, []string{
			"pool p: no healthy server of 3 would be left",
			"pool p: 0 healthy of 3 would be left, threshold 0.5 wants 1.5"}},
		{"last one, no threshold", pool(0, "yd"), []string{"a"}, []string{"pool p: no healthy server of 2 would be left"}},
		{"others disabled", pool(.5, "yyn"), []string{"a"}, []string{"pool p: 1 healthy of 3 would be left, threshold 0.5 wants 1.5"}},
		{"unknown does not count", pool(.5, "yu"), []string{"a"}, []string{
			"pool p: no healthy server of 2 would be left (1 of unknown health not counted)",
			"pool p: 0 healthy of 2 would be left, threshold 0.5 wants 1 (1 of unknown health not counted)"}},
		{"already out", pool(.5, "nd"), []string{"a"}, nil},
		{"not listed", pool(.5, "d"), []string{"x"}, nil},
		{"nobody leaves", pool(1, "dd"), nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Headroom(c.report, c.leaving)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// TestHeadroomKeepsThePromise: no problem means a healthy rest at the threshold.
func TestHeadroomKeepsThePromise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawReport(t)
		m, listed := r.Member("h")
		if !listed || !m.Enabled || len(Headroom(r, []string{"h"})) > 0 {
			return
		}
		rest := 0
		for _, m := range r.Members {
			if m.Host != "h" && m.Enabled && m.Up == lbstatus.UpYes {
				rest++
			}
		}
		if rest < 1 || rest < int(math.Ceil(float64(len(r.Members))*r.Threshold)) {
			t.Fatalf("%d left of %+v", rest, r)
		}
	})
}
