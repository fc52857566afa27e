package balancer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-lb/sluice/internal/bgp"
	"github.com/sluice-lb/sluice/internal/dataplane"
	"github.com/sluice-lb/sluice/internal/lb"
	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

func TestPoolBecomesTableAndReport(t *testing.T) {
	run(t, dataplane.NewMemory(nil, dataplane.Hooks{}), func(r *rig) {
		r.hear(10, "s1 10", "s2 20", "s3 no")
		r.up("s1", "s2", "s3")
		r.wantTable("s1 10", "s2 20")
		rep := r.report()
		if rep.Seen != 10 || rep.Applied != 10 || rep.Source.Heard.IsZero() || rep.Error != "" {
			t.Errorf("report %+v", rep)
		}
		want := []string{"s1 enabled/up/pooled up", "s2 enabled/up/pooled up", "s3 disabled/up/not pooled disabled"}
		if diff := cmp.Diff(want, words(rep)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestDepoolIsAppliedAtItsRevision(t *testing.T) {
	run(t, dataplane.NewMemory(nil, dataplane.Hooks{}), func(r *rig) {
		r.hear(10, "s1 10", "s2 10")
		r.up("s1", "s2")
		r.hear(11, "s1 no", "s2 10")
		r.wantTable("s2 10")
		if rep := r.report(); rep.Applied != 11 || words(rep)[0] != "s1 disabled/up/not pooled disabled" {
			t.Errorf("report %+v", rep)
		}
	})
}

// A depool the threshold forbids is applied in the sense that it was decided
// upon, and reported as what it is: still pooled.
func TestHeldDepoolIsReported(t *testing.T) {
	run(t, dataplane.NewMemory(nil, dataplane.Hooks{}), func(r *rig) {
		r.hear(10, "s1 10", "s2 10")
		r.up("s1", "s2")
		r.hear(11, "s1 no", "s2 10")
		r.hear(12, "s1 no", "s2 no")
		r.wantTable("s2 10")
		rep := r.report()
		if rep.Applied != 12 || words(rep)[1] != "s2 disabled/up/pooled held by threshold" || rep.CouldNotDepool != 1 {
			t.Errorf("report %+v", rep)
		}
	})
}

// The first table after a restart must not remove services nobody has spoken
// of yet, nor servers nobody has probed yet.
func TestRestartKeepsWhatThePlaneHolds(t *testing.T) {
	var ops []string
	plane := dataplane.NewMemory(
		dataplane.NewTable(tableOf(web, "s1 10", "s2 10"), tableOf(other, "s9 10")),
		dataplane.Hooks{Op: func(op dataplane.Op) error { ops = append(ops, op.String()); return nil }})
	run(t, plane, func(r *rig) {
		r.hear(10, "s1 10", "s2 10")
		r.wantTable("s1 10", "s2 10")
		if len(ops) != 0 {
			t.Errorf("a restart over the wanted table did %q", ops)
		}
		if rep := r.report(); words(rep)[0] != "s1 enabled/partially up/pooled unknown, kept" {
			t.Errorf("report %q", words(rep))
		}
		table, _ := plane.Read(t.Context())
		if s, ok := table.Find(newService(other).id); !ok || len(s.Destinations) != 1 {
			t.Errorf("the service nobody has spoken of was touched: %v", table)
		}
		if rep, _ := r.board.Report(other.Name); rep.Applied != 0 || rep.Seen != 0 {
			t.Errorf("unheard service reports %+v", rep)
		}
	})
}

// While DNS does not tell whose a destination is, it stays, and nobody is said
// to be out.
func TestRestartWithoutDNSKeepsWhatThePlaneHolds(t *testing.T) {
	plane := dataplane.NewMemory(dataplane.NewTable(tableOf(web, "s1 10", "s2 10", "s8 10")), dataplane.Hooks{})
	run(t, plane, func(r *rig) {
		unresolved := pool(10, "s1 10", "s2 no")
		unresolved.Backends[0].Addr, unresolved.Backends[1].Addr = netip.Addr{}, netip.Addr{}
		r.engine.Hear(r.ctx, lb.Heard{Service: web.Name, Pool: unresolved, Revision: 10})
		synctest.Wait()
		r.wantTable("s1 10", "s2 10", "s8 10")
		if got := words(r.report()); got[1] != "s2 disabled/partially up/pooled name not resolved" {
			t.Errorf("report %q", got)
		}
		half := pool(11, "s1 10", "s2 no")
		half.Backends[0].Addr = netip.Addr{}
		r.engine.Hear(r.ctx, lb.Heard{Service: web.Name, Pool: half, Revision: 11})
		r.engine.Judge(r.ctx, Judgement{Service: web.Name, Host: "s1", Verdict: lb.Verdict{State: lb.Unknown, Reason: "x"}})
		synctest.Wait()
		r.wantTable("s1 10", "s2 10", "s8 10") // s2 is known now, and held: too few healthy
		r.hear(12, "s1 10", "s2 no")
		r.wantTable("s1 10") // s1 is enough without s2, and s8 is nobody's
	})
}

// A server that was out when the balancer stopped stays out until it is proven.
func TestRestartDoesNotPoolTheUnproven(t *testing.T) {
	plane := dataplane.NewMemory(dataplane.NewTable(tableOf(web, "s1 10", "s2 10")), dataplane.Hooks{})
	run(t, plane, func(r *rig) {
		r.hear(10, "s1 10", "s2 10", "s3 10")
		r.wantTable("s1 10", "s2 10")
		r.up("s3")
		r.wantTable("s1 10", "s2 10", "s3 10")
	})
}

func TestPlaneRefusalHoldsAppliedBack(t *testing.T) {
	var refuse atomic.Bool
	plane := dataplane.NewMemory(nil, dataplane.Hooks{Op: func(dataplane.Op) error {
		if refuse.Load() {
			return errors.New("no such luck")
		}
		return nil
	}})
	run(t, plane, func(r *rig) {
		r.hear(10, "s1 10", "s2 10")
		r.up("s1", "s2")
		refuse.Store(true)
		r.hear(11, "s1 no", "s2 10")
		rep := r.report()
		if rep.Applied != 10 || rep.Seen != 11 || !strings.Contains(rep.Error, "no such luck") || !rep.Members[0].Pooled {
			t.Errorf("report %+v", rep)
		}
		refuse.Store(false)
		time.Sleep(time.Minute) // the bubble's clock: time for a retry
		synctest.Wait()
		if rep := r.report(); rep.Applied != 11 || rep.Error != "" || rep.Members[0].Pooled {
			t.Errorf("after recovery: %+v", rep)
		}
	})
}

func TestQuietRaisesTheRevisionAndTroubleDoesNot(t *testing.T) {
	run(t, dataplane.NewMemory(nil, dataplane.Hooks{}), func(r *rig) {
		r.hear(10, "s1 10")
		r.engine.Hear(r.ctx, lb.Heard{Service: web.Name, Revision: 15})
		synctest.Wait()
		if rep := r.report(); rep.Seen != 15 || rep.Applied != 15 {
			t.Errorf("quiet at 15: %+v", rep)
		}
		time.Sleep(7 * time.Second)
		r.engine.Hear(r.ctx, lb.Heard{Service: web.Name, Err: "etcd is gone"})
		synctest.Wait()
		rep := r.report()
		if rep.Applied != 15 || rep.Source.Error != "etcd is gone" || !rep.Source.Stale || rep.Source.Age < 6 {
			t.Errorf("in trouble: %+v", rep)
		}
		r.wantTable("s1 10")
		r.engine.Hear(r.ctx, lb.Heard{Service: web.Name, Revision: 16, Err: "no servers declared any more"})
		synctest.Wait()
		if rep := r.report(); rep.Applied != 15 || rep.Seen != 16 {
			t.Errorf("suddenly empty: %+v", rep)
		}
		r.wantTable("s1 10")
	})
}

// What was heard before the start is as old as it is.
func TestKeptPoolIsReportedWithItsAge(t *testing.T) {
	run(t, dataplane.NewMemory(nil, dataplane.Hooks{}), func(r *rig) {
		kept := pool(10, "s1 10")
		r.engine.Hear(r.ctx, lb.Heard{Service: web.Name, Pool: kept, Revision: 10, At: time.Now().Add(-time.Hour), Err: "etcd is gone; kept"})
		synctest.Wait()
		rep := r.report()
		if rep.Seen != 10 || rep.Applied != 10 || !rep.Source.Stale || rep.Source.Age != 3600 || rep.Source.Revisions != lbstatus.StoreRevisions {
			t.Errorf("kept: %+v", rep)
		}
		r.wantTable("s1 10")
		r.hear(12, "s2 10")
		if rep := r.report(); rep.Applied != 12 || rep.Source.Stale || rep.Source.Age != 0 {
			t.Errorf("heard: %+v", rep)
		}
	})
	local := web
	local.LocalRevisions = true
	if s := newService(local); s.report().Source.Revisions != lbstatus.LocalRevisions {
		t.Errorf("local: %+v", s.report().Source)
	}
}

func TestRoutesFollowTheAppliedTable(t *testing.T) {
	var refuse atomic.Bool
	refuse.Store(true)
	plane := dataplane.NewMemory(nil, dataplane.Hooks{Op: func(dataplane.Op) error {
		if refuse.Load() {
			return errors.New("not yet")
		}
		return nil
	}})
	run(t, plane, func(r *rig) {
		r.hear(10, "s1 10")
		if got := r.routes.get(); len(got) != 0 || r.report().Announced {
			t.Errorf("announced before the table was applied: %v", got)
		}
		refuse.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		want := []bgp.Route{{Prefix: netip.MustParsePrefix("192.0.2.1/32"), MED: 7}}
		if diff := cmp.Diff(want, r.routes.get(), cmp.Comparer(func(a, b bgp.Route) bool { return a == b })); diff != "" {
			t.Error(diff)
		}
		if !r.report().Announced {
			t.Error("report does not say announced")
		}
	})
}

// A new declaration leaves alone what stays the same, starts what is new and
// removes what is gone, from the plane and from the board.
func TestDeclareChangesOnlyWhatChanged(t *testing.T) {
	var ops []string
	plane := dataplane.NewMemory(nil, dataplane.Hooks{Op: func(op dataplane.Op) error { ops = append(ops, op.String()); return nil }})
	run(t, plane, func(r *rig) {
		r.hear(10, "s1 10", "s2 10")
		r.up("s1", "s2")
		third := other
		third.Name, third.VIP = "third", netip.MustParseAddrPort("192.0.2.3:80")
		strict := web
		strict.Threshold = 1
		ops = nil
		r.engine.Declare(r.ctx, []lb.Service{third, strict})
		synctest.Wait()
		if len(ops) != 0 {
			t.Errorf("a changed threshold did %q", ops)
		}
		if _, ok := r.board.Report(other.Name); ok {
			t.Error("a removed service is still on the board")
		}
		if rep := r.report(); rep.Threshold != 1 || rep.Applied != 10 || len(rep.Members) != 2 {
			t.Errorf("report %+v", rep)
		}
		r.engine.Hear(r.ctx, lb.Heard{Service: "third", Pool: pool(11, "s7 10"), Revision: 11})
		synctest.Wait()
		if rep, _ := r.board.Report("third"); rep.Applied != 11 || !rep.Members[0].Pooled {
			t.Errorf("the new service reports %+v", rep)
		}
		ops = nil
		r.engine.Declare(r.ctx, []lb.Service{third})
		synctest.Wait()
		if got, want := strings.Join(ops, "; "), "-D -t 192.0.2.1:80"; got != want {
			t.Errorf("removing a service did %q, want %q", got, want)
		}
		if r.checks.has(web.Name) || !r.checks.has("third") {
			t.Errorf("checked are %v, want only the service that is left", r.checks.set)
		}
	})
}

// A service that moves to another name, or a name to another address, never
// empties the address on the way.
func TestDeclareOfARenamedServiceKeepsItsTable(t *testing.T) {
	run(t, dataplane.NewMemory(nil, dataplane.Hooks{}), func(r *rig) {
		r.hear(10, "s1 10")
		renamed := web
		renamed.Name = "www"
		r.engine.Declare(r.ctx, []lb.Service{renamed})
		synctest.Wait()
		r.wantTable("s1 10")
		r.engine.Hear(r.ctx, lb.Heard{Service: "www", Pool: pool(10, "s1 10", "s2 10"), Revision: 10})
		synctest.Wait()
		r.wantTable("s1 10") // s2 waits for its first check, as after a restart
	})
}

// Revisions of another source mean something else: nothing is in force by them
// until it has spoken, and the last pool serves meanwhile.
func TestDeclareOfAnotherSourceForgetsRevisions(t *testing.T) {
	run(t, dataplane.NewMemory(nil, dataplane.Hooks{}), func(r *rig) {
		r.hear(1000, "s1 10")
		moved := web
		moved.Source = "etcd://y/web/"
		r.engine.Declare(r.ctx, []lb.Service{moved, other})
		synctest.Wait()
		if rep := r.report(); rep.Applied != 0 || rep.Seen != 0 || rep.Source.URL != moved.Source || !rep.Members[0].Pooled {
			t.Errorf("report %+v", rep)
		}
		r.hear(3, "s1 10", "s2 10")
		if rep := r.report(); rep.Applied != 3 {
			t.Errorf("report %+v", rep)
		}
	})
}

// A table that looks right but answers an older wish is not in force: one
// wanted in between may be about to replace it.
func TestOlderTableIsNotInForce(t *testing.T) {
	s := newService(web)
	s.pool = pool(5, "s1 10")
	s.assign()
	s.version = 3
	result := dataplane.Result{Version: 2, Known: true, Table: dataplane.Table{s.wanted}}
	if s.settle(result); s.inForce {
		t.Error("in force by an older result")
	}
	result.Version, result.Known = 3, false
	if s.settle(result); s.inForce {
		t.Error("in force by a table nobody could read")
	}
	result.Known = true
	if s.settle(result); !s.inForce || s.revision != 5 {
		t.Error("not in force by its own result")
	}
}

func TestConnectionsReachTheReport(t *testing.T) {
	run(t, dataplane.NewMemory(nil, dataplane.Hooks{}), func(r *rig) {
		r.hear(10, "s1 10")
		time.Sleep(2 * countEvery)
		synctest.Wait()
		if got := r.report().Members[0].Connections; got != 42 {
			t.Errorf("%d connections, want 42", got)
		}
	})
}

var (
	web   = lb.Service{Name: "web", Protocol: "tcp", VIP: netip.MustParseAddrPort("192.0.2.1:80"), Scheduler: "wrr", Threshold: .5, Announce: true, MED: 7, Source: "etcd://x/web/"}
	other = lb.Service{Name: "other", Protocol: "tcp", VIP: netip.MustParseAddrPort("192.0.2.2:80"), Scheduler: "wrr", Threshold: .5}
)

// rig is an engine with real tables over a plane, inside a synctest bubble.
type rig struct {
	t      *testing.T
	ctx    context.Context
	plane  dataplane.Plane
	board  *lbstatus.Board
	engine *Engine
	routes *routes
	checks *checks
}

func run(t *testing.T, plane dataplane.Plane, body func(*rig)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		log := slog.New(slog.DiscardHandler)
		tables := dataplane.NewReconciler(plane, log)
		r := &rig{t: t, ctx: ctx, plane: plane, board: lbstatus.NewBoard(web.Name, other.Name), routes: &routes{}, checks: &checks{set: map[string]bool{}}}
		r.engine = New([]lb.Service{web, other}, Neighbours{
			Tables: tables, Checks: r.checks, Routes: r.routes, Board: r.board, Log: log,
			Connections: func() map[dataplane.ServiceID]map[netip.AddrPort]int {
				return map[dataplane.ServiceID]map[netip.AddrPort]int{newService(web).id: {addr("s1"): 42}}
			},
		})
		go func() { _ = tables.Run(ctx) }()
		go func() { _ = r.engine.Run(ctx) }()
		synctest.Wait()
		body(r)
		cancel()
		synctest.Wait()
	})
}

func (r *rig) hear(revision int64, servers ...string) {
	r.engine.Hear(r.ctx, lb.Heard{Service: web.Name, Pool: pool(revision, servers...), Revision: revision})
	synctest.Wait()
}

func (r *rig) up(hosts ...string) {
	for _, h := range hosts {
		r.engine.Judge(r.ctx, Judgement{Service: web.Name, Host: h, Verdict: lb.Verdict{State: lb.Up}})
	}
	synctest.Wait()
}

func (r *rig) report() lbstatus.Report {
	rep, _ := r.board.Report(web.Name)
	return rep
}

func (r *rig) wantTable(servers ...string) {
	r.t.Helper()
	table, err := r.plane.Read(r.ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	got, _ := table.Find(newService(web).id)
	if want := tableOf(web, servers...); !got.Equal(want) {
		r.t.Errorf("table has %v, want %v", got.Destinations, want.Destinations)
	}
}

// pool reads servers as "HOST WEIGHT" or "HOST no".
func pool(revision int64, servers ...string) *lb.Pool {
	p := &lb.Pool{Service: web.Name, Revision: revision}
	for _, text := range servers {
		b := lb.Backend{Enabled: true, Revision: revision}
		if n, _ := fmt.Sscanf(text, "%s %d", &b.Host, &b.Weight); n < 2 {
			b.Weight, b.Enabled = 10, false
		}
		b.Addr = addr(b.Host).Addr()
		p.Backends = append(p.Backends, b)
	}
	return p
}

func tableOf(svc lb.Service, servers ...string) dataplane.Service {
	s := newService(svc)
	t := dataplane.Service{ID: s.id, Scheduler: svc.Scheduler}
	for _, b := range pool(0, servers...).Backends {
		t.Destinations = append(t.Destinations, dataplane.Destination{Addr: s.address(b), Weight: b.Weight, Forward: dataplane.Direct})
	}
	return dataplane.NewTable(t)[0]
}

// addr is where test server sN is: 10.0.0.N, port 80.
func addr(host string) netip.AddrPort {
	var n byte
	_, _ = fmt.Sscanf(host, "s%d", &n)
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, n}), 80)
}

func words(r lbstatus.Report) []string {
	var out []string
	for _, m := range r.Members {
		word := map[bool]string{true: "enabled", false: "disabled"}[m.Enabled] + "/" +
			map[lbstatus.Up]string{lbstatus.UpYes: "up", lbstatus.UpNo: "down", lbstatus.UpUnknown: "partially up"}[m.Up] + "/" +
			map[bool]string{true: "pooled", false: "not pooled"}[m.Pooled]
		out = append(out, m.Host+" "+word+" "+m.Reason)
	}
	return out
}

// checks remembers which services it was last told to check.
type checks struct {
	mu  sync.Mutex
	set map[string]bool
}

func (c *checks) Set(svc lb.Service, _ lb.Pool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set[svc.Name] = true
	return nil
}

func (c *checks) Remove(service string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.set, service)
}

func (c *checks) has(service string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.set[service]
}

type routes struct{ last atomic.Pointer[[]bgp.Route] }

func (r *routes) Set(routes []bgp.Route) { r.last.Store(&routes) }

func (r *routes) get() []bgp.Route {
	if p := r.last.Load(); p != nil {
		return *p
	}
	return nil
}
