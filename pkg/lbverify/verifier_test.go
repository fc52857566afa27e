package lbverify

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func balancer(t *testing.T, name string, h http.Handler) Balancer {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return Balancer{Name: name, URL: srv.URL}
}

// hits counts requests and tells of each.
type hits struct {
	http.Handler
	each chan string
}

func counted(h http.Handler) hits { return hits{h, make(chan string, 1000)} }

func (h hits) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.each <- r.URL.String()
	h.Handler.ServeHTTP(w, r)
}

func state(applied int64, enabled, pooled bool, up lbstatus.Up) lbstatus.Report {
	return lbstatus.Report{Pool: "p", Seen: applied, Applied: applied, Members: []lbstatus.Member{
		{Host: "h", Enabled: enabled, Pooled: pooled, Up: up, Held: pooled && !enabled, Reason: "because"},
	}}
}

var out = Expectation{Pool: "p", Host: "h", Want: Out, Revision: 15}
var in = Expectation{Pool: "p", Host: "h", Want: In, Revision: 15}

// TestVerifyWaits follows a balancer that gets there late: first the revision,
// then, after an answer that refutes, the health.
func TestVerifyWaits(t *testing.T) {
	for _, c := range []struct {
		name  string
		want  Expectation
		steps []lbstatus.Report // each published after one more question
	}{
		{"revision comes", out, []lbstatus.Report{state(12, true, true, lbstatus.UpYes), state(15, false, false, lbstatus.UpYes)}},
		{"health comes", in, []lbstatus.Report{state(15, true, false, lbstatus.UpNo), state(15, true, true, lbstatus.UpYes)}},
		{"held, then released", out, []lbstatus.Report{state(15, false, true, lbstatus.UpYes), state(16, false, true, lbstatus.UpYes), state(17, false, false, lbstatus.UpYes)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			board := lbstatus.NewBoard("p")
			board.Publish(c.steps[0])
			h := counted(lbstatus.Handler(board))
			b := balancer(t, "lvs1", h)
			go func() {
				for _, r := range c.steps[1:] {
					<-h.each
					board.Publish(r)
				}
			}()
			got := New(Options{Budget: 20 * time.Second}).Verify(t.Context(), []Balancer{b}, []Expectation{c.want})
			if err := All(got); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestVerifyRefutes(t *testing.T) {
	board := lbstatus.NewBoard("p", "q")
	board.Publish(state(15, false, true, lbstatus.UpYes))
	board.Publish(lbstatus.Report{Pool: "q", Seen: 12, Applied: 12})
	good := lbstatus.NewBoard("p", "q")
	good.Publish(state(16, false, false, lbstatus.UpYes))
	good.Publish(lbstatus.Report{Pool: "q", Seen: 99, Applied: 99})
	elsewhere := Expectation{Pool: "q", Host: "h", Want: Out, Revision: 15}
	got := New(Options{Budget: 300 * time.Millisecond}).Verify(t.Context(),
		[]Balancer{balancer(t, "bad", lbstatus.Handler(board)), balancer(t, "good", lbstatus.Handler(good))},
		[]Expectation{out, elsewhere})
	want := []Finding{
		{Balancer: "bad", Expectation: out, Outcome: Refuted, Got: "disabled/up/pooled", Reason: "because"},
		{Balancer: "bad", Expectation: elsewhere, Outcome: Unknown, Got: "absent", Reason: "applied 12, want 15: its source is stale"},
		{Balancer: "good", Expectation: out, Outcome: Confirmed, Got: "disabled/up/not pooled"},
		{Balancer: "good", Expectation: elsewhere, Outcome: Confirmed, Got: "absent"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestVerifyNobody(t *testing.T) {
	got := New(Options{}).Verify(t.Context(), nil, []Expectation{out})
	if err := All(got); err == nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	got = New(Options{}).Verify(t.Context(), []Balancer{{Name: "typo", URL: "lvs1:9090"}}, []Expectation{out})
	if err := All(got); err == nil || !strings.Contains(err.Error(), "want http://host:port") {
		t.Error(err)
	}
}

func TestVerifyInterrupted(t *testing.T) {
	board := lbstatus.NewBoard("p")
	board.Publish(state(15, false, true, lbstatus.UpYes))
	h := counted(lbstatus.Handler(board))
	b := balancer(t, "lvs1", h)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-h.each; <-h.each; cancel() }()
	got := New(Options{Budget: time.Hour}).Verify(ctx, []Balancer{b}, []Expectation{out})
	want := []Finding{{Balancer: "lvs1", Expectation: out, Outcome: Unknown, Got: "disabled/up/pooled", Reason: "interrupted"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestVerifyForgets: what a balancer confirmed before it fell silent no longer
// counts.
func TestVerifyForgets(t *testing.T) {
	board := lbstatus.NewBoard("p")
	r := state(15, false, false, lbstatus.UpYes)
	r.Members = append(r.Members, lbstatus.Member{Host: "i", Pooled: true, Up: lbstatus.UpYes})
	board.Publish(r)
	answers := lbstatus.Handler(board)
	var asked atomic.Int32
	b := balancer(t, "lvs1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) > 1 {
			http.Error(w, "oh", http.StatusInternalServerError)
			return
		}
		answers.ServeHTTP(w, r)
	}))
	second := Expectation{Pool: "p", Host: "i", Want: Out, Revision: 15}
	got := New(Options{Budget: 500 * time.Millisecond}).Verify(t.Context(), []Balancer{b}, []Expectation{out, second})
	for _, f := range got {
		if f.Outcome != Unknown || !strings.Contains(f.Reason, "500") {
			t.Errorf("%v", f)
		}
	}
	if len(got) != 2 || asked.Load() < 2 {
		t.Errorf("%d findings after %d questions", len(got), asked.Load())
	}
}

// pybal serves the older dialect only, with one answer after the other; the
// last one stays.
func pybal(asked *atomic.Int32, bodies ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "TwistedWeb/20.3.0")
		if r.URL.Path != "/pools/p/h" || r.Header.Get("Accept") != "application/json" {
			http.Error(w, "The desired url was not found", http.StatusNotFound)
			return
		}
		n := min(int(asked.Add(1)), len(bodies))
		fmt.Fprint(w, bodies[n-1])
	})
}

const (
	pybalIn   = `{"pooled": true, "enabled": true, "up": true, "weight": 10}`
	pybalHeld = `{"pooled": true, "enabled": false, "up": true, "weight": 10}`
	pybalOut  = `{"pooled": false, "enabled": false, "up": true, "weight": 10}`
)

func TestVerifyPyBal(t *testing.T) {
	for _, c := range []struct {
		name    string
		bodies  []string
		want    Expectation
		outcome Outcome
		asked   int32
	}{
		{"at once", []string{pybalOut}, out, Confirmed, 1},
		{"third time", []string{pybalIn, pybalIn, pybalOut}, out, Confirmed, 3},
		{"past garbage", []string{"?", pybalOut}, out, Confirmed, 2},
		{"never", []string{pybalHeld}, out, Refuted, 4},
		{"in", []string{pybalOut, pybalIn}, in, Confirmed, 2},
		{"null", []string{`{"pooled": null, "enabled": false, "up": true, "weight": 10}`}, out, Unknown, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked atomic.Int32
			b := balancer(t, "old", pybal(&asked, c.bodies...))
			v := New(Options{Retries: 4, Wait: time.Millisecond, Budget: time.Minute})
			got := v.Verify(t.Context(), []Balancer{b}, []Expectation{c.want})
			if len(got) != 1 || got[0].Outcome != c.outcome || asked.Load() != c.asked {
				t.Errorf("asked %d: %v", asked.Load(), got)
			}
		})
	}
}

// hostile balancers, each of which must leave everything unknown.
func hostile(t *testing.T) []Balancer {
	serve := func(name string, h http.HandlerFunc) Balancer { return balancer(t, name, h) }
	say := func(status int, server, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Server", server)
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	wellFormed := `{"pool":"p","seen":20,"applied":20,"members":[{"host":"h","enabled":false,"up":"up","pooled":false}]}`
	return []Balancer{
		serve("hang", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }),
		serve("hang in the body", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, wellFormed[:20])
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}),
		serve("trickle", func(w http.ResponseWriter, r *http.Request) {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for r.Context().Err() == nil {
				fmt.Fprint(w, " ")
				http.NewResponseController(w).Flush()
				<-tick.C
			}
		}),
		serve("status 500", say(500, "lbd", wellFormed)),
		serve("status 503 from a stranger", say(503, "", pybalOut)),
		serve("status 204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }),
		serve("404 pool", say(404, "lbd", `{"error":"unknown pool \"p\""}`)),
		serve("404 from PyBal", say(404, "TwistedWeb", "The desired url was not found")),
		serve("garbage", say(200, "lbd", "it works!")),
		serve("empty", say(200, "lbd", "")),
		serve("PyBal's body in our place", say(200, "lbd", pybalOut)),
		serve("wrong pool", say(200, "lbd", strings.Replace(wellFormed, `"p"`, `"q"`, 1))),
		serve("old revision", say(200, "lbd", strings.ReplaceAll(wellFormed, "20", "14"))),
		serve("no pooled", say(200, "lbd", strings.Replace(wellFormed, `,"pooled":false`, "", 1))),
		serve("twice over", say(200, "lbd", wellFormed+wellFormed)),
		serve("nothing applied", say(200, "lbd", strings.ReplaceAll(wellFormed, "20", "0"))),
		serve("five keys", func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/v1/") {
				http.NotFound(w, r)
				return
			}
			fmt.Fprint(w, strings.Replace(pybalOut, "{", `{"extra": 1, `, 1))
		}),
		serve("redirect", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/ok" {
				fmt.Fprint(w, wellFormed)
				return
			}
			http.Redirect(w, r, "/ok", http.StatusFound)
		}),
		serve("huge", func(w http.ResponseWriter, r *http.Request) {
			for chunk := bytes.Repeat([]byte(" "), 1<<20); r.Context().Err() == nil; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}),
		listener(t, "reset", func(c *net.TCPConn) { c.SetLinger(0) }),
		listener(t, "close", func(*net.TCPConn) {}),
		listener(t, "half close", func(c *net.TCPConn) {
			c.CloseWrite()
			c.Read(make([]byte, 1))
		}),
		listener(t, "no HTTP", func(c *net.TCPConn) { fmt.Fprint(c, "220 ready\r\n") }),
		listener(t, "cut off", func(c *net.TCPConn) {
			c.Read(make([]byte, 1<<10))
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nServer: lbd\r\nContent-Length: %d\r\n\r\n%s", len(wellFormed)+1, wellFormed)
		}),
		{Name: "refused", URL: refused(t)},
	}
}

// listener answers each connection with f and closes it.
func listener(t *testing.T, name string, f func(*net.TCPConn)) Balancer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f(c.(*net.TCPConn))
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return Balancer{Name: name, URL: "http://" + l.Addr().String()}
}

// refused is the URL of a port nobody listens on.
func refused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

func TestHostileBalancersConfirmNothing(t *testing.T) {
	v := New(Options{Retries: 2, Wait: 20 * time.Millisecond, Timeout: 100 * time.Millisecond, Budget: 500 * time.Millisecond})
	balancers := hostile(t)
	got := v.Verify(t.Context(), balancers, []Expectation{out, in})
	if len(got) != 2*len(balancers) {
		t.Fatalf("%d findings for %d balancers", len(got), len(balancers))
	}
	for _, f := range got {
		if f.Outcome != Unknown || f.Reason == "" {
			t.Errorf("%v", f)
		}
		t.Log(f)
	}
	for _, r := range v.Headroom(t.Context(), balancers, "p", []string{"h"}) {
		// An old revision does for headroom: nothing has been written yet.
		if r.Err == nil && r.Balancer != "old revision" {
			t.Errorf("%s: headroom without an answer: %v", r.Balancer, r.Problems)
		}
	}
}

func TestVerifierHeadroom(t *testing.T) {
	board := lbstatus.NewBoard("p")
	r := state(15, true, true, lbstatus.UpYes)
	r.Threshold = .5
	r.Members = append(r.Members, lbstatus.Member{Host: "i", Enabled: true, Up: lbstatus.UpNo})
	board.Publish(r)
	old := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/pools/p" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, `{"h": %s, "i": %s}`, pybalIn, pybalOut)
	})
	got := New(Options{}).Headroom(t.Context(), []Balancer{balancer(t, "new", lbstatus.Handler(board)), balancer(t, "old", old)}, "p", []string{"h"})
	want := []Room{
		{Balancer: "new", Pool: "p", Problems: []string{
			"pool p: no healthy server of 2 would be left", "pool p: 0 healthy of 2 would be left, threshold 0.5 wants 1"}},
		{Balancer: "old", Pool: "p", Problems: []string{"pool p: no healthy server of 2 would be left"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
