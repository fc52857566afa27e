package coordinator

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-lb/sluice/internal/lb"
)

// world is one pool living through a script: every step changes what is said
// or judged, then Assign runs on its own last answer.
type world struct {
	svc      lb.Service
	pool     lb.Pool
	verdicts lb.Verdicts
	now      *Assignment
}

func newWorld(threshold float64, servers int) *world {
	w := &world{
		svc:      lb.Service{Name: "web", Threshold: threshold},
		pool:     lb.Pool{Service: "web", Revision: 1},
		verdicts: lb.Verdicts{},
	}
	for i := range servers {
		w.add(fmt.Sprintf("s%d", i+1))
	}
	return w
}

func (w *world) add(host string) {
	w.pool.Backends = append(w.pool.Backends, lb.Backend{
		Host: host, Addr: netip.MustParseAddr("192.0.2.1"), Weight: 10, Enabled: true, Revision: w.pool.Revision,
	})
	slices.SortFunc(w.pool.Backends, func(a, b lb.Backend) int { return strings.Compare(a.Host, b.Host) })
}

func (w *world) assign() *Assignment {
	a := Assign(w.svc, w.pool, w.verdicts, w.now)
	w.now = &a
	return w.now
}

// do carries out one step: "VERB HOST…", several joined by "; ".
func (w *world) do(t *testing.T, step string) {
	t.Helper()
	w.pool.Revision++
	w.pool.Backends = slices.Clone(w.pool.Backends)
	for part := range strings.SplitSeq(step, "; ") {
		words := strings.Fields(part)
		for _, host := range words[1:] {
			w.one(t, words[0], host)
		}
	}
}

func (w *world) one(t *testing.T, verb, host string) {
	t.Helper()
	i := slices.IndexFunc(w.pool.Backends, func(b lb.Backend) bool { return b.Host == host })
	if i < 0 && verb != "add" && verb != "add-off" {
		t.Fatalf("step %s %s: no such server", verb, host)
	}
	switch verb {
	case "up":
		w.verdicts[host] = lb.Verdict{State: lb.Up}
	case "down":
		w.verdicts[host] = lb.Verdict{State: lb.Down, Reason: "500"}
	case "unknown":
		delete(w.verdicts, host)
	case "enable", "disable":
		w.pool.Backends[i].Enabled = verb == "enable"
		w.pool.Backends[i].Revision = w.pool.Revision
	case "weight":
		w.pool.Backends[i].Weight = 33
		w.pool.Backends[i].Revision = w.pool.Revision
	case "remove":
		w.pool.Backends = slices.Delete(w.pool.Backends, i, i+1)
		delete(w.verdicts, host)
	case "unresolve":
		w.pool.Backends[i].Addr = netip.Addr{}
	case "resolve":
		w.pool.Backends[i].Addr = netip.MustParseAddr("192.0.2.2")
	case "add":
		w.add(host)
	default:
		t.Fatalf("unknown verb %q", verb)
	}
}

// serving renders who serves: "s1 s2!", a mark behind those held.
func serving(a *Assignment) string {
	var out []string
	for _, m := range a.Members {
		switch {
		case m.Held && !m.Serving:
			out = append(out, m.Host+"?held but out")
		case m.Held:
			out = append(out, m.Host+"!")
		case m.Serving:
			out = append(out, m.Host)
		}
	}
	return strings.Join(out, " ")
}

// step is a change and who serves after it.
type step struct{ do, want string }

// The numbers are those of the behaviour cases kept for PyBal.
func TestScripts(t *testing.T) {
	const allUp = "up s1 s2 s3 s4"
	for _, tt := range []struct {
		name      string
		threshold float64
		servers   int
		admin     lb.AdminDepool
		steps     []step
	}{
		{"C02-C07 failures down to the threshold and back", .5, 4, lb.GuardDepool, []step{
			{"disable s4", "s1 s2 s3"},
			{allUp, "s1 s2 s3"},
			{"down s1", "s2 s3"},
			{"down s2", "s2! s3"},
			{"down s3", "s2! s3!"},
			{"up s1", "s1 s2! s3!"},
			{"up s2", "s1 s2"},
			{"up s3", "s1 s2 s3"},
		}},
		{"C09 C10 disable and enable a healthy server", .5, 4, lb.GuardDepool, []step{
			{allUp, "s1 s2 s3 s4"},
			{"disable s2", "s1 s3 s4"},
			{"enable s2", "s1 s2 s3 s4"},
		}},
		{"C11 enable an unhealthy server", .5, 4, lb.GuardDepool, []step{
			{allUp, "s1 s2 s3 s4"},
			{"disable s2", "s1 s3 s4"},
			{"down s2", "s1 s3 s4"},
			{"enable s2", "s1 s3 s4"},
			{"up s2", "s1 s2 s3 s4"},
		}},
		{"C14 a pool of one keeps its server", .5, 1, lb.GuardDepool, []step{
			{"up s1", "s1"}, {"down s1", "s1!"}, {"up s1", "s1"},
		}},
		{"C15 a pool of two lets one go", .5, 2, lb.GuardDepool, []step{
			{"up s1 s2", "s1 s2"}, {"down s1", "s2"}, {"down s2", "s2!"},
		}},
		{"C16 a pool too small for its threshold", .75, 3, lb.GuardDepool, []step{
			{"up s1 s2 s3", "s1 s2 s3"}, {"down s2", "s1 s2! s3"},
		}},
		{"C18 threshold 0 lets all go", 0, 3, lb.GuardDepool, []step{
			{"up s1 s2 s3", "s1 s2 s3"}, {"down s1 s2 s3", ""}, {"up s2", "s2"},
		}},
		{"C19 threshold 1 lets none go", 1, 3, lb.GuardDepool, []step{
			{"up s1 s2 s3", "s1 s2 s3"}, {"down s3", "s1 s2 s3!"},
		}},
		{"C20 C21 honour: disabled down to an empty pool", .5, 4, lb.HonourDepool, []step{
			{allUp, "s1 s2 s3 s4"},
			{"disable s1 s2 s3", "s4"},
			{"down s4", "s4!"},
			{"disable s4", ""},
		}},
		{"C20 guard: disabled down to the threshold, one by one", .5, 4, lb.GuardDepool, []step{
			{allUp, "s1 s2 s3 s4"},
			{"disable s1", "s2 s3 s4"},
			{"disable s2", "s3 s4"},
			{"disable s3", "s3! s4"},
			{"enable s1", "s1 s4"},
		}},
		{"C20 guard: the same in one edit", .5, 4, lb.GuardDepool, []step{
			{allUp, "s1 s2 s3 s4"}, {"disable s1 s2 s3", "s3! s4"}, {"down s4", "s3! s4!"},
		}},
		{"C22 an edit elsewhere leaves a held server alone", .5, 4, lb.GuardDepool, []step{
			{allUp, "s1 s2 s3 s4"}, {"down s1 s2", "s3 s4"}, {"down s3", "s3! s4"}, {"weight s4", "s3! s4"},
		}},
		{"C23 a held server leaves with its entry", .5, 4, lb.GuardDepool, []step{
			{allUp, "s1 s2 s3 s4"}, {"down s1 s2 s3", "s3! s4"}, {"remove s3", "s1! s4"}, {"up s1 s2", "s1 s2 s4"},
		}},
		{"C24 an edit before the first check changes nothing", .5, 3, lb.GuardDepool, []step{
			{"weight s1", "s1 s2 s3"}, {"disable s2", "s1 s3"}, {"weight s3", "s1 s3"},
		}},
		{"C25 without monitors every server is up", .5, 2, lb.GuardDepool, []step{
			{"up s1 s2", "s1 s2"}, {"weight s1", "s1 s2"},
		}},
		{"C27 all down at the start: N-ceil(N*t) go", .5, 5, lb.GuardDepool, []step{
			{"down s1 s2 s3 s4 s5", "s3! s4! s5!"}, {"up s1", "s1 s3! s4! s5!"}, {"up s2 s5", "s1 s2 s5"},
		}},
		{"C28 an unresolved name counts but never serves", .5, 4, lb.GuardDepool, []step{
			{"unresolve s1; up s2 s3 s4", "s2 s3 s4"},
			{"down s2", "s3 s4"},
			{"down s3", "s3! s4"},
			{"resolve s1", "s3! s4"},
			{"up s1", "s1 s4"},
		}},
		{"C13 a removed server comes back only after its check", .5, 3, lb.GuardDepool, []step{
			{"up s1 s2 s3", "s1 s2 s3"}, {"remove s2", "s1 s3"}, {"add s2", "s1 s3"}, {"up s2", "s1 s2 s3"},
		}},
		{"a disabled server is held until there are servers again", .5, 2, lb.GuardDepool, []step{
			{"up s1 s2", "s1 s2"}, {"down s1", "s2"}, {"disable s2", "s2!"}, {"up s1", "s1"}, {"down s1", "s1!"},
		}},
		{"healthy disabled servers are kept before dead enabled ones", .5, 4, lb.GuardDepool, []step{
			{allUp, "s1 s2 s3 s4"},
			{"disable s4", "s1 s2 s3"},
			{"disable s3; down s2", "s1 s3!"},
		}},
		{"the server disabled last is kept first", .5, 4, lb.GuardDepool, []step{
			{allUp, "s1 s2 s3 s4"}, {"down s4", "s1 s2 s3"}, {"disable s2", "s1 s3"},
			{"disable s3", "s1 s3!"}, {"disable s1", "s1! s3!"}, {"enable s2", "s1! s2 s3!"}, {"up s4", "s2 s4"},
		}},
		{"a dead disabled server goes before a living one", .25, 4, lb.GuardDepool, []step{
			{"up s1 s2; down s3 s4", "s1 s2"}, {"disable s1", "s2"}, {"disable s2", "s2!"},
			{"enable s1", "s1"}, {"up s2 s3 s4; enable s2", "s1 s2 s3 s4"},
			{"disable s1; down s3 s4", "s2"}, {"enable s1", "s1 s2"}, {"down s1; disable s2 s1", "s2!"},
		}},
		{"of servers that die together the enabled ones go first", .5, 4, lb.GuardDepool, []step{
			{allUp, "s1 s2 s3 s4"}, {"disable s1; down s1 s2 s3 s4", "s1! s4!"},
		}},
		{"an unknown server is called in before a down one", .5, 4, lb.HonourDepool, []step{
			{allUp, "s1 s2 s3 s4"}, {"down s1", "s2 s3 s4"},
			{"remove s2; add s5", "s3 s4"}, {"disable s3", "s4 s5"},
		}},
		{"a cold pool that was disabled stays out", .5, 3, lb.GuardDepool, []step{
			{"disable s1 s2 s3", ""}, {"up s1 s2 s3", ""}, {"enable s2", "s2"},
		}},
		{"a pool run short is filled up, unknown before down", .5, 4, lb.HonourDepool, []step{
			{"disable s1 s2", "s3 s4"},
			{"up s3; down s4", "s3 s4!"},
			{"up s4; enable s1", "s3 s4"},
			{"down s1", "s3 s4"},
			{"disable s3; add s5", "s1! s4 s5"},
			{"add s6 s7", "s1! s4 s5 s6"},
			{"remove s6 s7 s5 s2", "s1! s4"},
			{"disable s4", "s1!"},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(tt.threshold, tt.servers)
			w.svc.Admin = tt.admin
			for _, s := range tt.steps {
				w.do(t, s.do)
				if got := serving(w.assign()); got != s.want {
					t.Fatalf("after %q: %q serve, want %q", s.do, got, s.want)
				}
				if diff := cmp.Diff(*w.now, Assign(w.svc, w.pool, w.verdicts, w.now), compareAddr); diff != "" {
					t.Fatalf("after %q: not idempotent (-first +second):\n%s", s.do, diff)
				}
			}
		})
	}
}

var compareAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func TestReasons(t *testing.T) {
	w := newWorld(.5, 8)
	w.svc.Name = "https"
	w.do(t, "up s1 s2 s3 s4")
	w.do(t, "disable s5; unresolve s6; down s7; remove s8")
	w.assign()
	w.do(t, "add s8; weight s1; disable s2")
	w.verdicts["s2"] = lb.Verdict{State: lb.Down, Partial: true}
	w.verdicts["s3"] = lb.Verdict{}
	got := *w.assign()
	type line struct {
		Host    string
		Weight  int
		Serving bool
		Held    bool
		Reason  string
	}
	var lines []line
	for _, m := range got.Members {
		lines = append(lines, line{m.Host, m.Weight, m.Serving, m.Held, m.Reason})
	}
	want := []line{
		{"s1", 33, true, false, "up"},
		{"s2", 10, true, true, "held by threshold"},
		{"s3", 10, true, false, "unknown, kept"},
		{"s4", 10, true, false, "up"},
		{"s5", 10, false, false, "disabled"},
		{"s6", 10, false, false, "name not resolved"},
		{"s7", 10, false, false, "down: 500"},
		{"s8", 10, false, false, "waiting for first check"},
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	if got.Service != "https" || got.Revision != w.pool.Revision || !got.CanDepool {
		t.Errorf("Service %q Revision %d CanDepool %v, want https, %d, true", got.Service, got.Revision, got.CanDepool, w.pool.Revision)
	}
	if v := got.Members[1].Verdict; !v.Partial || v.State != lb.Down {
		t.Errorf("verdict of s2 is %+v, want it carried through", v)
	}
}

func TestCanDepool(t *testing.T) {
	for _, tt := range []struct {
		name      string
		threshold float64
		servers   int
		do        string
		want      bool
	}{
		{"all unknown", .5, 4, "weight s1", true},
		{"C16 healthy", .75, 3, "up s1 s2 s3", true},
		{"C17 one healthy", .5, 1, "up s1", true},
		{"at the threshold", .5, 4, "down s1 s2", true},
		{"under it", .5, 4, "down s1 s2 s3", false},
		{"disabled ones do not count", .5, 4, "up s1 s2 s3 s4; disable s1 s2 s3", false},
		{"unresolved ones do not count", .5, 2, "unresolve s1 s2", false},
		{"threshold 0", 0, 2, "down s1 s2", true},
		{"empty pool", .5, 1, "remove s1", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(tt.threshold, tt.servers)
			w.do(t, tt.do)
			if got := w.assign().CanDepool; got != tt.want {
				t.Errorf("CanDepool = %v, want %v", got, tt.want)
			}
		})
	}
}
