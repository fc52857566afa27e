package lbverify

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// pool makes a report of servers, each given by letters: e enabled, u up,
// d down, p pooled, 0 without weight.
func pool(threshold float64, servers map[string]string) lbstatus.Report {
	r := lbstatus.Report{Pool: "web_443", Applied: 1, Threshold: threshold}
	for host, letters := range servers {
		m := lbstatus.Member{Host: host, Weight: 10, Up: lbstatus.UpUnknown}
		for _, c := range letters {
			switch c {
			case 'e':
				m.Enabled = true
			case 'u':
				m.Up = lbstatus.UpYes
			case 'd':
				m.Up = lbstatus.UpNo
			case 'p':
				m.Pooled = true
			case '0':
				m.Weight = 0
			}
		}
		r.Members = append(r.Members, m)
	}
	return r
}

func TestForesee(t *testing.T) {
	six := map[string]string{"a": "eup", "b": "eup", "c": "eup", "d": "eup", "e": "eup", "f": "ed"}
	for _, c := range []struct {
		name    string
		report  lbstatus.Report
		shift   Shift
		numbers string
		breaks  bool
	}{
		{"one leaves", pool(.5, six), Shift{Leaving: []string{"a"}}, "5 of 6 up now, 4 after, threshold 3", false},
		{"down to the threshold", pool(.5, six), Shift{Leaving: []string{"a", "b"}}, "5 of 6 up now, 3 after, threshold 3", false},
		{"below it", pool(.5, six), Shift{Leaving: []string{"a", "b", "c"}}, "5 of 6 up now, 2 after, threshold 3", true},
		{"gone servers need no share", pool(.5, six), Shift{Gone: []string{"a", "b", "c"}}, "5 of 6 up now, 2 of 3 after, threshold 2", false},
		{"the last", pool(0, map[string]string{"a": "eup"}), Shift{Leaving: []string{"a"}}, "1 of 1 up now, 0 after, threshold 0", true},
		{"the last able, the others weightless", pool(0, map[string]string{"a": "eup", "b": "eup0"}), Shift{Leaving: []string{"a"}}, "1 of 2 up now, 0 after, threshold 0", true},
		{"a dead one, in trouble", pool(.9, six), Shift{Leaving: []string{"f"}}, "5 of 6 up now, 5 after, threshold 6", false},
		{"a held one", pool(.5, map[string]string{"a": "up", "b": "ed"}), Shift{Gone: []string{"a"}}, "0 of 2 up now, 0 of 1 after, threshold 1", true},
		{"unknown health", pool(0, map[string]string{"a": "ep", "b": "ep"}), Shift{Leaving: []string{"a"}}, "0 of 2 up now, 0 after, threshold 0", true},
		{"one drained already", pool(.5, map[string]string{"a": "eup0", "b": "eup"}), Shift{Leaving: []string{"a"}}, "1 of 2 up now, 1 after, threshold 1", false},
		{"swap", pool(1, map[string]string{"a": "eup", "b": "u"}), Shift{Gone: []string{"a"}, Coming: []string{"b"}}, "1 of 2 up now, 1 of 1 after, threshold 1", false},
		{"one comes whom nobody knows", pool(1, map[string]string{"a": "eup"}), Shift{Coming: []string{"n"}}, "1 of 1 up now, 1 of 2 after, threshold 2", false},
		{"one who is not there", pool(.5, six), Shift{Gone: []string{"x"}}, "5 of 6 up now, 5 after, threshold 3", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := Foresee(c.report, c.shift)
			if o.String() != c.numbers || o.Breaks != c.breaks {
				t.Errorf("got %s, breaks %v; want %s, breaks %v", o, o.Breaks, c.numbers, c.breaks)
			}
		})
	}
}

// Whatever leaves, a pool that is not said to break keeps an able server if it
// had one, and its threshold if it met it.
func TestForeseeKeepsThePromise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawReport(t)
		var s Shift
		for _, m := range r.Members {
			if rapid.Bool().Draw(t, "leaves") {
				s.Leaving = append(s.Leaving, m.Host)
			}
		}
		o := Foresee(r, s)
		able := 0
		for _, m := range r.Members {
			able += count(m.Enabled && m.Up == lbstatus.UpYes && m.Weight > 0 && !slices.Contains(s.Leaving, m.Host))
		}
		if o.After != able {
			t.Fatalf("after: %d, want %d", o.After, able)
		}
		if !o.Breaks && o.Able > o.After && (able == 0 || float64(able) < float64(len(r.Members))*r.Threshold) {
			t.Fatalf("broken and not said: %s of %+v", o, r)
		}
	})
}

func TestReports(t *testing.T) {
	board := lbstatus.NewBoard("p", "q")
	r := state(7, true, true, lbstatus.UpYes)
	board.Publish(r)
	b := balancer(t, "lb1", lbstatus.Handler(board))
	v := New(Options{Timeout: 5 * time.Second})
	got := v.Reports(t.Context(), b, []string{r.Pool, "q", "nothing"})
	if got[0].Err != nil || got[0].Report.Applied != 7 {
		t.Errorf("%s: %+v", r.Pool, got[0])
	}
	if got[1].Err == nil || got[2].Err == nil {
		t.Errorf("of a pool not applied and one not there: %v, %v", got[1].Err, got[2].Err)
	}
	for _, b := range []Balancer{{Name: "refused", URL: refused(t)}, {Name: "no URL", URL: "lb1"}, balancer(t, "500", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
	}))} {
		for _, told := range v.Reports(t.Context(), b, []string{"p", "q"}) {
			if told.Err == nil {
				t.Errorf("%s: no error", b.Name)
			}
		}
	}
}
