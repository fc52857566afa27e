package workflow

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-lb/sluice/pkg/lbstatus"
	"github.com/sluice-lb/sluice/pkg/lbverify"
	"github.com/sluice-lb/sluice/pkg/objects"
)

const (
	writeNo  = "write dc1/c/web/h1=no dc1/c/api/h1=no"
	writeYes = "write dc1/c/web/h1=yes dc1/c/api/h1=yes"
)

func (s *site) want(err error, kind error, states string, events ...string) {
	s.Helper()
	if kind == nil && err != nil || kind != nil && !errors.Is(err, kind) {
		s.Errorf("error %v, want %v", err, kind)
	}
	if got := s.states(); got != states {
		s.Errorf("states %s, want %s", got, states)
	}
	if diff := cmp.Diff(events, s.happened()); diff != "" {
		s.Errorf("events -want +got\n%s", diff)
	}
	if err != nil {
		s.Log(err)
	}
}

func wantText(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v\nlacks %q", err, part)
		}
	}
}

func TestRestart(t *testing.T) {
	s := newSite(t)
	p := s.procedure(s.balancer("lvs1", obedient), s.balancer("lvs2", obedient))
	err := p.Restart(t.Context(), []string{"a.service", "b.service"})
	s.want(err, nil, "web=yes api=yes", writeNo, "verify",
		"restart a.service at web=no api=no", "restart b.service at web=no api=no", writeYes, "verify")
}

// TestRestartOnePoolOnly: what was not pooled is not written, neither before
// nor after; what is inactive is not even asked about.
func TestRestartOnePoolOnly(t *testing.T) {
	for other, balancer := range map[string]lbverify.Balancer{"no": {}, "inactive": dead} {
		t.Run(other, func(t *testing.T) {
			s := newSite(t)
			s.set("api", "h1", "pooled", other)
			p := s.procedure(s.balancer("lvs1", obedient))
			events := []string{"write dc1/c/web/h1=no", "verify",
				"restart a.service at web=no api=" + other, "write dc1/c/web/h1=yes", "verify"}
			if balancer.Name != "" {
				p.Pools[1].Balancers = []lbverify.Balancer{balancer}
			} else {
				events = append([]string{"verify"}, events...)
			}
			err := p.Restart(t.Context(), []string{"a.service"})
			s.want(err, nil, "web=yes api="+other, events...)
		})
	}
}

// dead is a balancer that is not there.
var dead = lbverify.Balancer{Name: "dead", URL: "http://127.0.0.1:1"}

func TestRestartOfDepooledHost(t *testing.T) {
	s := newSite(t)
	s.set("web", "h1", "pooled", "no")
	s.set("api", "h1", "pooled", "inactive")
	err := s.procedure(s.balancer("lvs1", obedient)).Restart(t.Context(), []string{"a.service"})
	s.want(err, nil, "web=no api=inactive", "verify", "restart a.service at web=no api=inactive")
}

func TestRestartOfInactiveHostAsksNobody(t *testing.T) {
	s := newSite(t)
	s.set("web", "h1", "pooled", "inactive")
	s.set("api", "h1", "pooled", "inactive")
	err := s.procedure(dead).Restart(t.Context(), []string{"a.service"})
	s.want(err, nil, "web=inactive api=inactive", "restart a.service at web=inactive api=inactive")
}

// TestDepoolFoundInTheStoreIsNotTrusted: a host that says no may be held by the
// threshold, or left behind by a run that could not verify it. The second run
// must not restart what the first one rightly did not.
func TestDepoolFoundInTheStoreIsNotTrusted(t *testing.T) {
	for name, p := range map[string]func(*site) *Procedure{
		"held": func(s *site) *Procedure { return s.procedure(s.balancer("lvs1", holding)).impatient() },
		"dead": func(s *site) *Procedure { return s.procedure(dead).impatient() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.set("web", "h1", "pooled", "no")
			s.set("api", "h1", "pooled", "no")
			err := p(s).Restart(t.Context(), []string{"a.service"})
			if !errors.Is(err, ErrUnconfirmed) {
				t.Errorf("restart: %v, want %v", err, ErrUnconfirmed)
			}
			wantText(t, err, "pooled=no already: dc1/c/web/h1, dc1/c/api/h1; nothing was written; nothing was restarted")
			if err := p(s).Depool(t.Context()); !errors.Is(err, ErrUnconfirmed) {
				t.Errorf("depool: %v, want %v", err, ErrUnconfirmed)
			}
			for _, event := range s.happened() {
				if strings.HasPrefix(event, "restart") {
					t.Errorf("%s", event)
				}
			}
		})
	}
}

func TestForceWritesNothing(t *testing.T) {
	s := newSite(t)
	p := &Procedure{Restarter: s, Log: s.procedure().Log}
	s.want(p.Force(t.Context(), []string{"a.service"}), nil, "web=yes api=yes", "restart a.service at web=yes api=yes")
}

// TestUnconfirmedDepool: one balancer of two that does not take the host out
// stops everything, and says why.
func TestUnconfirmedDepool(t *testing.T) {
	s := newSite(t)
	p := s.procedure(s.balancer("good", obedient), s.balancer("bad", holding)).impatient()
	err := p.Restart(t.Context(), []string{"a.service"})
	s.want(err, ErrUnconfirmed, "web=no api=no", writeNo, "verify")
	wantText(t, err, "bad: h1 in web_80 refuted: want disabled/*/not pooled, got disabled/up/pooled: held by threshold",
		"bad: h1 in api_81 refuted", "nothing was restarted", "left pooled=no: dc1/c/web/h1, dc1/c/api/h1")
	if strings.Contains(err.Error(), "good:") {
		t.Errorf("blames the good one: %v", err)
	}
}

func TestFailedRestartIsNotRepooled(t *testing.T) {
	s := newSite(t)
	s.failed["a.service"] = codeError(5)
	s.failed["c.service"] = codeError(3)
	p := s.procedure(s.balancer("lvs1", obedient))
	err := p.Restart(t.Context(), []string{"a.service", "b.service", "c.service"})
	s.want(err, codeError(5), "web=no api=no", writeNo, "verify", "restart a.service at web=no api=no",
		"restart b.service at web=no api=no", "restart c.service at web=no api=no")
	var failed *RestartError
	if !errors.As(err, &failed) || failed.Code != 3 {
		t.Errorf("want the last code, got %v", err)
	}
	wantText(t, err, "code 5; code 3; not repooled; left pooled=no: dc1/c/web/h1, dc1/c/api/h1")
}

// codeError is the failure of a program with that exit code.
type codeError int

func (e codeError) Error() string { return fmt.Sprintf("code %d", int(e)) }
func (e codeError) ExitCode() int { return int(e) }

func TestUnconfirmedRepool(t *testing.T) {
	s := newSite(t)
	down := func(host, pooled string) lbstatus.Member {
		m := obedient(host, pooled)
		if host == "h1" {
			// It has not come back: no check has passed since the restart.
			for _, e := range s.happened() {
				if strings.HasPrefix(e, "restart") {
					m.Up, m.Pooled, m.Reason, m.Health = lbstatus.UpNo, false, "down", "connection refused"
				}
			}
		}
		return m
	}
	err := s.procedure(s.balancer("lvs1", down)).impatient().Restart(t.Context(), []string{"a.service"})
	s.want(err, ErrUnconfirmed, "web=yes api=yes", writeNo, "verify", "restart a.service at web=no api=no", writeYes, "verify")
	wantText(t, err, "repool: not confirmed", "got enabled/down/not pooled: down, connection refused", "left pooled=yes: dc1/c/web/h1")
}

// TestColleague: what somebody else changes meanwhile is not overwritten.
func TestColleague(t *testing.T) {
	t.Run("during the restart", func(t *testing.T) {
		s := newSite(t)
		s.hook = func(event string) {
			if strings.HasPrefix(event, "restart") {
				s.set("api", "h1", "pooled", "inactive")
			}
		}
		err := s.procedure(s.balancer("lvs1", obedient)).Restart(t.Context(), []string{"a.service"})
		s.want(err, ErrUnconfirmed, "web=no api=inactive", writeNo, "verify", "restart a.service at web=no api=no", writeYes)
		wantText(t, err, "repool: set pooled=yes", "changed by somebody else", "nothing was written")
	})
	t.Run("before the depool", func(t *testing.T) {
		s := newSite(t)
		done := false
		s.hook = func(event string) {
			if !done && strings.HasPrefix(event, "write") {
				done = true
				s.set("api", "h1", "pooled", "no")
			}
		}
		// It says no already, which is what is wanted; but it is not ours to repool.
		err := s.procedure(s.balancer("lvs1", obedient)).Restart(t.Context(), []string{"a.service"})
		s.want(err, nil, "web=yes api=no", writeNo, "verify", "restart a.service at web=no api=no", "write dc1/c/web/h1=yes", "verify")
	})
	t.Run("another field", func(t *testing.T) {
		s := newSite(t)
		s.hook = func(event string) {
			if strings.HasPrefix(event, "restart") {
				s.set("api", "h1", "weight", 7)
			}
		}
		err := s.procedure(s.balancer("lvs1", obedient)).Restart(t.Context(), []string{"a.service"})
		s.want(err, nil, "web=yes api=yes", writeNo, "verify", "restart a.service at web=no api=no", writeYes, "verify")
		if w, err := s.get("api", "h1").Value("weight"); w != 7 || err != nil {
			t.Errorf("weight %v, %v", w, err)
		}
	})
}

func TestNoHeadroom(t *testing.T) {
	s := newSite(t)
	s.set("web", "h2", "pooled", "no")
	s.set("web", "h3", "pooled", "no")
	p := s.procedure(s.balancer("lvs1", obedient))
	err := p.Restart(t.Context(), []string{"a.service"})
	s.want(err, ErrRefused, "web=yes api=yes")
	wantText(t, err, "no headroom, nothing was written", "lvs1: pool web_80: no healthy server of 3 would be left",
		"pool web_80: 0 healthy of 3 would be left, threshold 0.5 wants 1.5")

	p.IgnoreHeadroom = true
	s.want(p.Depool(t.Context()), nil, "web=no api=no", writeNo, "verify")
}

// TestBadBalancers: each kind of balancer that cannot be asked stops a depool
// before anything is written, and leaves a pool unconfirmed.
func TestBadBalancers(t *testing.T) {
	say := func(status int, server, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Server", server)
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	for _, c := range []struct {
		name string
		h    http.HandlerFunc // nil is refused
		want string
	}{
		{"refused", nil, "connection refused"},
		{"hung", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "deadline exceeded"},
		{"500", say(500, "lbd", "oh"), "HTTP status 500: oh"},
		{"garbage", say(200, "lbd", "oh"), "unusable answer"},
		{"404 pool", say(404, "lbd", `{"error":"unknown pool \"web_80\""}`), `unknown pool "web_80"`},
		{"404 PyBal", say(404, "TwistedWeb", "The desired url was not found"), "404"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			bad := lbverify.Balancer{Name: "bad", URL: "http://127.0.0.1:1"}
			if c.h != nil {
				bad = s.serve("bad", c.h)
			}
			p := s.procedure(s.balancer("good", obedient), bad).impatient()
			p.Pools = p.Pools[:1]
			err := p.Restart(t.Context(), []string{"a.service"})
			s.want(err, ErrUnconfirmed, "web=yes api=yes")
			wantText(t, err, "depool: not confirmed", "nothing was written", "bad: ", c.want)

			s.set("web", "h1", "pooled", "no")
			err = p.Pool(t.Context())
			if !errors.Is(err, ErrUnconfirmed) || s.states() != "web=yes api=yes" {
				t.Errorf("%s: %v", s.states(), err)
			}
			wantText(t, err, "bad: h1 in web_80 unknown", c.want, "left pooled=yes: dc1/c/web/h1")
		})
	}
}

// TestBalancerBehind: one that answers but never gets to the revision.
func TestBalancerBehind(t *testing.T) {
	s := newSite(t)
	board := lbstatus.NewBoard("web_80", "api_81")
	for _, pool := range board.Pools() {
		board.Publish(lbstatus.Report{Pool: pool, Seen: 2, Applied: 2, Error: "kernel refuses", Members: []lbstatus.Member{{Host: "h2", Enabled: true, Up: lbstatus.UpYes}}})
	}
	err := s.procedure(s.serve("stuck", lbstatus.Handler(board))).impatient().Depool(t.Context())
	s.want(err, ErrUnconfirmed, "web=no api=no", writeNo, "verify")
	wantText(t, err, "stuck: h1 in web_80 unknown", "applied 2, want ", "kernel refuses")
}

func TestPoolAndDepool(t *testing.T) {
	s := newSite(t)
	p := s.procedure(s.balancer("lvs1", obedient))
	s.want(p.Pool(t.Context()), nil, "web=yes api=yes")
	s.set("api", "h1", "pooled", "inactive")
	s.want(p.Depool(t.Context()), nil, "web=no api=inactive", "write dc1/c/web/h1=no", "verify")
	s.want(p.Depool(t.Context()), nil, "web=no api=inactive", "write dc1/c/web/h1=no", "verify")
	s.want(p.Pool(t.Context()), nil, "web=yes api=inactive", "write dc1/c/web/h1=no", "verify", "write dc1/c/web/h1=yes", "verify")
}

// TestNeighboursAreSafe: keys are exact, never patterns.
func TestNeighboursAreSafe(t *testing.T) {
	s := newSite(t)
	s.create("web-ssl", "h1", "yes")
	s.create("web", "h1x", "yes")
	s.create("wxb", "h1", "yes")
	p := s.procedure(s.balancer("lvs1", obedient))
	p.Pools[0].Service = "w.b"
	p.Pools = p.Pools[:1]
	s.want(p.Depool(t.Context()), nil, "web=yes api=yes")
	p.Pools[0].Service, p.Host = "web", "h."
	s.want(p.Depool(t.Context()), nil, "web=yes api=yes")
	p.Host = "h1"
	s.want(p.Depool(t.Context()), nil, "web=no api=yes", "write dc1/c/web/h1=no", "verify")
}

func TestNobodyToAsk(t *testing.T) {
	s := newSite(t)
	p := s.procedure()
	s.want(p.Depool(t.Context()), ErrUnconfirmed, "web=yes api=yes")
}

func TestUnreadableStateStopsAll(t *testing.T) {
	s := newSite(t)
	p := s.procedure(s.balancer("lvs1", obedient))
	p.Type = &objects.Type{Name: "node", Path: "pools", Tags: []string{"dc", "cluster", "service"}}
	err := p.Restart(t.Context(), []string{"a.service"})
	if err == nil || errors.Is(err, ErrUnconfirmed) || errors.Is(err, ErrRefused) {
		t.Errorf("got %v", err)
	}
	s.want(nil, nil, "web=yes api=yes")
}

func TestGrace(t *testing.T) {
	s := newSite(t)
	p := s.procedure(s.balancer("lvs1", obedient))
	p.Grace = 300 * time.Millisecond
	var mu sync.Mutex
	var asked, restarted time.Time
	s.hook = func(event string) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case event == "verify" && restarted.IsZero():
			asked = time.Now()
		case strings.HasPrefix(event, "restart"):
			restarted = time.Now()
		}
	}
	if err := p.Restart(t.Context(), []string{"a.service"}); err != nil {
		t.Fatal(err)
	}
	if pause := restarted.Sub(asked); pause < p.Grace {
		t.Errorf("restarted %s after the last question, want at least %s", pause, p.Grace)
	}
}

// TestInterrupted says at every point what is left.
func TestInterrupted(t *testing.T) {
	for _, c := range []struct {
		name, at string // the event at which the operator loses patience
		grace    time.Duration
		b        behaviour
		states   string
		want     []string
	}{
		{"while verifying", "verify", 0, holding, "web=no api=no", []string{"interrupted before every balancer confirmed", "nothing was restarted", "left pooled=no: dc1/c/web/h1, dc1/c/api/h1"}},
		{"in the grace period", "waiting 1h0m0s", time.Hour, obedient, "web=no api=no", []string{"grace period: interrupted", "nothing was restarted", "left pooled=no: dc1/c/web/h1, dc1/c/api/h1"}},
		{"while restarting", "restart a.service at web=no api=no", 0, obedient, "web=no api=no", []string{"interrupted while a.service was restarting", "not repooled", "left pooled=no: dc1/c/web/h1, dc1/c/api/h1"}},
		{"while repooling", writeYes, 0, obedient, "", []string{"repool: ", "interrupted", "pooled=yes"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s.hook = func(event string) {
				if !strings.Contains(event, c.at) {
					return
				}
				cancel()
				if strings.HasPrefix(event, "restart") {
					s.failed["a.service"] = context.Canceled
				}
			}
			p := s.procedure(s.balancer("lvs1", c.b))
			p.Grace = c.grace
			err := p.Restart(ctx, []string{"a.service"})
			if !errors.Is(err, ErrInterrupted) || errors.Is(err, ErrUnconfirmed) {
				t.Errorf("got %v", err)
			}
			wantText(t, err, c.want...)
			if c.states != "" && s.states() != c.states {
				t.Errorf("states %s", s.states())
			}
			t.Log(err)
		})
	}
}
