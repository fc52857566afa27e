// Package bench_test measures the road of one change from end to end, each
// figure beside the raw floor it stands on, in one run: make bench.
package bench_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/sluice-lb/sluice/internal/devetcd"
	"github.com/sluice-lb/sluice/internal/health"
	"github.com/sluice-lb/sluice/internal/lbd"
	"github.com/sluice-lb/sluice/pkg/lbstatus"
	"github.com/sluice-lb/sluice/pkg/lbverify"
	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

const (
	pool   = "web_18080"
	prefix = "/conftool/v1/pools/dc1/web/http/"
	// servers in the pool; the first is the one that is edited.
	servers = 10
)

// BenchmarkRoad prints, per stage, the median and the 99th percentile, and how
// many times the raw put-to-watch median that median is.
func BenchmarkRoad(b *testing.B) {
	w := newWorld(b)
	floor := w.stage(b, "raw-put-to-own-watch", 0, w.rawPutToWatch(b))
	w.balance(b, 0, 1)
	w.stage(b, "put-to-table-applied", floor, w.putToApplied(b))
	w.balance(b, 1, 2)
	w.stage(b, "change-to-confirmed-by-2", floor, w.changeToConfirmed(b))
	w.balance(b, 2, 20)
	w.stage(b, "change-to-confirmed-by-20", floor, w.changeToConfirmed(b))
}

// metric is one more figure to print beside a stage's own.
type metric struct {
	unit  string
	value float64
}

// stage runs one measurement b.N times and returns its median.
func (w *world) stage(b *testing.B, name string, floor time.Duration, once func(i int), more ...metric) (median time.Duration) {
	b.Run(name, func(b *testing.B) {
		var took []time.Duration
		for i := 0; b.Loop(); i++ {
			start := time.Now()
			once(i)
			took = append(took, time.Since(start))
		}
		slices.Sort(took)
		median = took[len(took)/2]
		b.ReportMetric(float64(median.Microseconds())/1000, "p50-ms")
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		if floor > 0 {
			b.ReportMetric(float64(median)/float64(floor), "x-raw")
		}
		for _, m := range more {
			b.ReportMetric(m.value, m.unit)
		}
	})
	return median
}

// world is a store, toy servers, and as many balancers as a stage asks for.
type world struct {
	etcd      *devetcd.Server
	client    *clientv3.Client
	balancers []lbverify.Balancer
}

// newStore is a world with a store and nothing else.
func newStore(b *testing.B) *world {
	etcd, err := devetcd.Start(devetcd.Options{})
	check(b, err)
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{etcd.Endpoint()}, Logger: zap.NewNop()})
	check(b, err)
	b.Cleanup(func() {
		_ = client.Close()
		_ = etcd.Close()
	})
	return &world{etcd: etcd, client: client}
}

func newWorld(b *testing.B) *world {
	w := newStore(b)
	for i := 1; i <= servers; i++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.92.1.%d:18080", i))
		check(b, err)
		server := &http.Server{}
		go func() { _ = server.Serve(l) }()
		b.Cleanup(func() { _ = server.Close() })
		_, err = w.client.Put(b.Context(), prefix+host(i), `{"weight": 10, "pooled": "yes"}`)
		check(b, err)
	}
	return w
}

func host(i int) string { return fmt.Sprintf("127.92.1.%d", i) }

// value is what the edited server holds in round i: never twice the same.
func value(i int) string { return fmt.Sprintf(`{"weight": %d, "pooled": "yes"}`, 10+i%50) }

// rawPutToWatch is the floor: nobody learns of a put before etcd tells.
func (w *world) rawPutToWatch(b *testing.B) func(i int) {
	events := w.client.Watch(b.Context(), "/raw")
	return func(i int) {
		resp, err := w.client.Put(b.Context(), "/raw", value(i))
		check(b, err)
		for ev := range events {
			check(b, ev.Err())
			if ev.Header.Revision >= resp.Header.Revision {
				return
			}
		}
	}
}

// putToApplied is a put until the balancer says over HTTP that its plane's
// table holds it.
func (w *world) putToApplied(b *testing.B) func(i int) {
	client, err := lbstatus.New(w.balancers[0].URL)
	check(b, err)
	return func(i int) {
		resp, err := w.client.Put(b.Context(), prefix+host(1), value(i))
		check(b, err)
		r, err := client.Report(b.Context(), pool, resp.Header.Revision, 5*time.Second)
		check(b, err)
		if r.Applied < resp.Header.Revision {
			b.Fatalf("applied %d, want %d", r.Applied, resp.Header.Revision)
		}
	}
}

// changeToConfirmed is what depool --verify does: a compare-and-swap with its
// audit record, then every balancer asked about that very revision. It depools
// and, in the next round, pools.
func (w *world) changeToConfirmed(b *testing.B) func(i int) {
	store, err := state.Open(state.Config{Endpoints: []string{w.etcd.Endpoint()}})
	check(b, err)
	b.Cleanup(func() { _ = store.Close() })
	node := objects.Node()
	sel, err := node.SelectExact(map[string]string{"dc": "dc1", "cluster": "web", "service": "http", "name": host(2)})
	check(b, err)
	verifier := lbverify.New(lbverify.Options{})
	return func(i int) {
		pooled, want := "no", lbverify.Out
		if i%2 == 1 {
			pooled, want = "yes", lbverify.In
		}
		listing, err := store.List(b.Context(), node, sel)
		check(b, err)
		change, err := store.Update(b.Context(), state.Audit{User: "bench"}, []state.Mutation{{
			Object: listing.Objects[0], Set: []objects.Setting{{Field: "pooled", Value: pooled}},
		}})
		check(b, err)
		check(b, lbverify.All(verifier.Verify(b.Context(), w.balancers, []lbverify.Expectation{
			{Pool: pool, Host: host(2), Want: want, Revision: change.Revision},
		})))
	}
}

// balance starts balancers until there are n.
func (w *world) balance(b *testing.B, from, n int) {
	for i := from; i < n; i++ {
		w.balancers = append(w.balancers, w.balancer(b, i))
	}
}

// balancer starts one balancer on the userspace plane and waits until it serves.
func (w *world) balancer(b *testing.B, i int) lbverify.Balancer {
	ip := netip.AddrFrom4([4]byte{127, 92, 2, byte(i + 1)})
	config, err := lbd.ParseConfig(fmt.Appendf(nil, `
[global]
plane = userspace
instrumentation = yes
instrumentation_ips = [ '%[1]s' ]
[%[2]s]
protocol = tcp
ip = %[1]s
port = 18080
scheduler = wrr
config = etcd://%[3]s%[4]s
depool-threshold = .5
monitors = [ "IdleConnection" ]
`, ip, pool, w.etcd.Addr(), prefix), "bench.conf", health.Validate)
	check(b, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- lbd.Run(ctx, lbd.Options{Config: config, Log: slog.New(slog.DiscardHandler)})
	}()
	b.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Errorf("balancer %d: %v", i, err)
		}
	})
	url := fmt.Sprintf("http://%s:9090", ip)
	client, err := lbstatus.New(url)
	check(b, err)
	for {
		r, err := client.Report(b.Context(), pool, 1, time.Second)
		if err == nil && r.Applied > 0 && allUp(r) {
			return lbverify.Balancer{Name: fmt.Sprint(i), URL: url}
		}
		if b.Context().Err() != nil {
			b.Fatal(b.Context().Err())
		}
	}
}

func allUp(r lbstatus.Report) bool {
	return !slices.ContainsFunc(r.Members, func(m lbstatus.Member) bool { return m.Up != lbstatus.UpYes })
}

func check(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
