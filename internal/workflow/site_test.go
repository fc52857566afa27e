package workflow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-lb/sluice/internal/devetcd"
	"github.com/sluice-lb/sluice/pkg/lbstatus"
	"github.com/sluice-lb/sluice/pkg/lbverify"
	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// endpoint is that of the etcd all tests of the package share; each has a
// namespace of its own.
var endpoint string

// sites counts the namespaces given out.
var sites atomic.Int64

func TestMain(m *testing.M) {
	server, err := devetcd.Start(devetcd.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	endpoint = server.Endpoint()
	code := m.Run()
	if err := errors.Join(server.Close(), goleak.Find()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// site is a datacenter in small: a store, balancers that follow it, and a list
// of what happened in which order.
type site struct {
	*testing.T
	*state.Store
	namespace string

	mu     sync.Mutex
	events []string
	failed map[string]error // units that do not restart
	hook   func(event string)
}

// newSite has hosts h1, h2 and h3, pooled in web and api. Its test runs beside
// others.
func newSite(t *testing.T) *site {
	t.Helper()
	t.Parallel()
	s := &site{T: t, namespace: fmt.Sprintf("/site%d", sites.Add(1)), failed: map[string]error{}}
	var err error
	s.Store, err = state.Open(state.Config{Endpoints: []string{endpoint}, Namespace: s.namespace})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Store.Close() })
	for _, service := range []string{"web", "api"} {
		for _, host := range []string{"h1", "h2", "h3"} {
			s.create(service, host, "yes")
		}
	}
	return s
}

func (s *site) create(service, host, pooled string) {
	s.Helper()
	o := objects.Object{Type: objects.Node(), Key: objects.Key{Tags: "dc1/c/" + service, Name: host}}
	set := []objects.Setting{{Field: "pooled", Value: pooled}, {Field: "weight", Value: 1}}
	if _, err := s.Store.Update(s.Context(), state.Audit{}, []state.Mutation{{Verb: state.Create, Object: o, Set: set}}); err != nil {
		s.Fatal(err)
	}
}

// set writes as somebody else would.
func (s *site) set(service, host, field string, value any) {
	s.Helper()
	_, err := s.Store.Update(s.Context(), state.Audit{}, []state.Mutation{{
		Object: s.get(service, host), Set: []objects.Setting{{Field: field, Value: value}},
	}})
	if err != nil {
		s.Fatal(err)
	}
}

func (s *site) get(service, host string) objects.Object {
	s.Helper()
	sel, err := objects.Node().SelectExact(map[string]string{"dc": "dc1", "cluster": "c", "service": service, "name": host})
	if err != nil {
		s.Fatal(err)
	}
	list, err := s.Store.List(context.Background(), objects.Node(), sel)
	if err != nil || len(list.Objects) != 1 {
		s.Fatalf("%v, %v", list, err)
	}
	return list.Objects[0]
}

// states returns the pooled values of h1, "web=no api=yes".
func (s *site) states() string {
	s.Helper()
	var all []string
	for _, service := range []string{"web", "api"} {
		v, err := s.get(service, "h1").Value("pooled")
		if err != nil {
			s.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%s=%v", service, v))
	}
	return strings.Join(all, " ")
}

// note records an event; several alike in a row are one.
func (s *site) note(event string) {
	s.mu.Lock()
	if n := len(s.events); n == 0 || s.events[n-1] != event {
		s.events = append(s.events, event)
	}
	hook := s.hook
	s.mu.Unlock()
	if hook != nil {
		hook(event)
	}
}

func (s *site) happened() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

// Update records the write on its way to the store.
func (s *site) Update(ctx context.Context, audit state.Audit, muts []state.Mutation) (state.Change, error) {
	var names []string
	for _, m := range muts {
		names = append(names, fmt.Sprintf("%s=%v", m.Object.Key, m.Set[0].Value))
	}
	s.note("write " + strings.Join(names, " "))
	return s.Store.Update(ctx, audit, muts)
}

// Restart is the restarter; it records what the store said at that moment.
func (s *site) Restart(_ context.Context, unit string) error {
	s.note("restart " + unit + " at " + s.states())
	return s.failed[unit]
}

// behaviour is what a balancer makes of one server's pooled value.
type behaviour func(host, pooled string) lbstatus.Member

func obedient(host, pooled string) lbstatus.Member {
	yes := pooled == "yes"
	return lbstatus.Member{Host: host, Enabled: yes, Pooled: yes, Up: lbstatus.UpYes, Weight: 1}
}

// holding keeps every server, as a threshold reached does.
func holding(host, pooled string) lbstatus.Member {
	m := obedient(host, pooled)
	if !m.Pooled {
		m.Pooled, m.Held, m.Reason = true, true, "held by threshold"
	}
	return m
}

// balancer follows the store like lbd and serves its real status protocol for
// the pools web_80 and api_81.
func (s *site) balancer(name string, b behaviour) lbverify.Balancer {
	s.Helper()
	board := lbstatus.NewBoard("web_80", "api_81")
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan struct{})
	var once sync.Once
	go func() {
		defer close(done)
		var last state.Snapshot
		_ = s.Store.Watch(ctx, s.namespace+"/v1/pools/", func(e state.Event) {
			if e.Snapshot != nil {
				last = *e.Snapshot
			}
			if e.Err == nil {
				board.Publish(report("web_80", "web", last, e.Revision, b))
				board.Publish(report("api_81", "api", last, e.Revision, b))
				once.Do(func() { close(ready) })
			}
		})
	}()
	s.Cleanup(func() { cancel(); <-done })
	<-ready
	return s.serve(name, lbstatus.Handler(board))
}

// report is what a balancer says of a pool after a snapshot.
func report(pool, service string, snap state.Snapshot, revision int64, b behaviour) lbstatus.Report {
	r := lbstatus.Report{Pool: pool, Seen: revision, Applied: revision, Threshold: .5}
	for _, e := range snap.Entries {
		host, ok := strings.CutPrefix(e.Key, "dc1/c/"+service+"/")
		if n, err := objects.ParseNode(e.Value); ok && err == nil && n.Pooled != "inactive" {
			r.Members = append(r.Members, b(host, n.Pooled))
		}
	}
	return r
}

// serve runs a status server and records every question that verifies.
func (s *site) serve(name string, h http.Handler) lbverify.Balancer {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("min_revision") {
			s.note("verify")
		}
		h.ServeHTTP(w, r)
	}))
	s.Cleanup(srv.Close)
	return lbverify.Balancer{Name: name, URL: srv.URL}
}

// procedure is h1's, in web and api, with these balancers.
func (s *site) procedure(balancers ...lbverify.Balancer) *Procedure {
	return &Procedure{
		Store:     s,
		Verifier:  lbverify.New(lbverify.Options{Budget: time.Minute, Timeout: time.Minute}),
		Restarter: s,
		Type:      objects.Node(),
		Audit:     state.Audit{User: "op", Command: []string{"restart-service"}},
		DC:        "dc1",
		Host:      "h1",
		Pools: []Entry{
			{Pool: "web", Cluster: "c", Service: "web", LBPools: []string{"web_80"}, Balancers: balancers},
			{Pool: "api", Cluster: "c", Service: "api", LBPools: []string{"api_81"}, Balancers: balancers},
		},
		Log: slog.New(slog.NewTextHandler(logWriter{s}, nil)),
	}
}

// impatient gives verification up soon, for balancers that will never confirm.
func (p *Procedure) impatient() *Procedure {
	p.Verifier = lbverify.New(lbverify.Options{Budget: time.Second, Timeout: 500 * time.Millisecond})
	return p
}

type logWriter struct{ *site }

func (w logWriter) Write(b []byte) (int, error) {
	w.Log(strings.TrimSpace(string(b)))
	w.mu.Lock()
	hook := w.hook
	w.mu.Unlock()
	if hook != nil {
		hook("log " + string(b))
	}
	return len(b), nil
}
