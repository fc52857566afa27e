package bench_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/sluice-lb/sluice/internal/devetcd"
)

// The sizes issue 3 speaks of: a site's nodes, and far more than any site has.
const (
	siteNodes  = 2_000
	manyNodes  = 100_000
	manyMemory = 300 // MB
)

// BenchmarkConfctl runs the real program against a real store. Per command it
// prints the median, the requests the server counted, the program's peak memory,
// and how many times the floor that is: the raw client's time for the same work
// plus the start of a program that does nothing but is linked the same way.
func BenchmarkConfctl(b *testing.B) {
	o := newOperator(b, devetcd.Options{})
	floor := o.start(b)
	o.seed(b, 0, siteNodes)
	rawGet := o.raw(b, "raw-get-one", func(ctx context.Context, c *clientv3.Client, _ int) error {
		_, err := c.Get(ctx, nodeKey(7))
		return err
	})
	rawSet := o.raw(b, "raw-set-one", func(ctx context.Context, c *clientv3.Client, i int) error {
		resp, err := c.Get(ctx, nodeKey(7))
		if err != nil {
			return err
		}
		_, err = c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(nodeKey(7)), "=", resp.Kvs[0].ModRevision)).
			Then(clientv3.OpPut(nodeKey(7), value(i)), clientv3.OpPut("/audit/"+fmt.Sprint(i), value(i))).Commit()
		return err
	})
	rawAll := o.raw(b, "raw-get-2000", func(ctx context.Context, c *clientv3.Client, _ int) error {
		_, err := c.Get(ctx, "/conftool/v1/pools/", clientv3.WithPrefix())
		return err
	})
	one := "dc=dc1,cluster=c7,service=s7,name=" + nodeName(7)
	o.run(b, "get-one", floor+rawGet, limits{requests: 1}, func(int) []string { return []string{"select", one, "get"} })
	o.run(b, "set-one", floor+rawSet, limits{requests: 2}, func(i int) []string {
		return []string{"--quiet", "select", one, "set/weight=" + strconv.Itoa(100+i)}
	})
	o.run(b, "get-2000", floor+rawAll, limits{requests: 1, time: 50 * time.Millisecond}, func(int) []string {
		return []string{"select", "dc=.*", "get"}
	})
	o.run(b, "set-pooled-2000", 0, limits{requests: 30}, func(i int) []string {
		return []string{"--quiet", "select", "dc=.*", "set/pooled=" + []string{"no", "yes"}[i%2]}
	})
	o.run(b, "set-weight-2000", 0, limits{requests: 30}, func(i int) []string {
		return []string{"--quiet", "select", "dc=.*", "set/weight=" + strconv.Itoa(1000+i)}
	})
	o.migrate(b)
	o.firstRequest(b)
	o.seed(b, siteNodes, manyNodes)
	o.run(b, "get-one-of-100000", floor+rawGet, limits{requests: 1, memory: manyMemory}, func(int) []string {
		return []string{"select", one, "get"}
	})
	o.run(b, "get-100000", 0, limits{requests: 11, memory: manyMemory}, func(int) []string { return []string{"select", "dc=.*", "get"} })
}

// limits are what issue 3 promises; zero is no promise.
type limits struct {
	requests int
	time     time.Duration // of the median
	memory   int           // MB, at the peak
}

// operator is a store and the programs an operator has.
type operator struct {
	etcd           *devetcd.Server
	client         *clientv3.Client
	confctl, empty string
	env            []string
}

func newOperator(b *testing.B, opts devetcd.Options) *operator {
	etcd, err := devetcd.Start(opts)
	check(b, err)
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{etcd.Endpoint()}, Logger: zap.NewNop()})
	check(b, err)
	b.Cleanup(func() {
		_ = client.Close()
		_ = etcd.Close()
	})
	dir := b.TempDir()
	o := &operator{etcd: etcd, client: client, confctl: filepath.Join(dir, "confctl"), empty: filepath.Join(dir, "empty")}
	config := filepath.Join(dir, "config.yaml")
	check(b, os.WriteFile(config, fmt.Appendf(nil, "endpoints: [%q]\n", etcd.Endpoint()), 0o644))
	o.env = append(os.Environ(), "SLUICE_CONFIG="+config)
	o.build(b, dir)
	return o
}

// build builds confctl and, out of an overlay, the program that does nothing.
func (o *operator) build(b *testing.B, dir string) {
	root, err := filepath.Abs("../..")
	check(b, err)
	source, overlay := filepath.Join(dir, "empty.go"), filepath.Join(dir, "overlay.json")
	check(b, os.WriteFile(source, []byte("package main\n\nimport _ \"github.com/sluice-lb/sluice/internal/cli\"\n\nfunc main() {}\n"), 0o644))
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, "cmd/empty/main.go"): source}})
	check(b, err)
	check(b, os.WriteFile(overlay, text, 0o644))
	for program, pkg := range map[string]string{o.confctl: "./cmd/confctl", o.empty: "./cmd/empty"} {
		cmd := exec.Command("go", "build", "-overlay", overlay, "-o", program, pkg)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("build %s: %v\n%s", pkg, err, out)
		}
	}
}

func nodeName(i int) string { return fmt.Sprintf("host%06d.example", i) }

// nodeKey spreads nodes over two datacenters, fifty clusters and ten services.
func nodeKey(i int) string {
	return fmt.Sprintf("/conftool/v1/pools/dc%d/c%d/s%d/%s", i%2, i%50, i%10, nodeName(i))
}

func (o *operator) seed(b *testing.B, from, to int) {
	var ops []clientv3.Op
	for i := from; i < to; i++ {
		ops = append(ops, clientv3.OpPut(nodeKey(i), `{"weight": 10, "pooled": "yes"}`))
		if len(ops) == 100 || i == to-1 {
			_, err := o.client.Txn(b.Context()).Then(ops...).Commit()
			check(b, err)
			ops = ops[:0]
		}
	}
}

// measure runs something b.N times, which says how long it took, and returns the
// median.
func measure(b *testing.B, name string, once func(b *testing.B, i int) time.Duration, report func(b *testing.B, median time.Duration)) (median time.Duration) {
	b.Run(name, func(b *testing.B) {
		var took []time.Duration
		for i := 0; b.Loop(); i++ {
			took = append(took, once(b, i))
		}
		slices.Sort(took)
		median = took[len(took)/2]
		b.ReportMetric(float64(median.Microseconds())/1000, "p50-ms")
		if report != nil {
			report(b, median)
		}
	})
	return median
}

// start measures the program that does nothing.
func (o *operator) start(b *testing.B) time.Duration {
	return measure(b, "start-empty", func(b *testing.B, _ int) time.Duration {
		start := time.Now()
		check(b, exec.Command(o.empty).Run())
		return time.Since(start)
	}, nil)
}

// raw measures the client library alone, connection included.
func (o *operator) raw(b *testing.B, name string, do func(context.Context, *clientv3.Client, int) error) time.Duration {
	return measure(b, name, func(b *testing.B, i int) time.Duration {
		start := time.Now()
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{o.etcd.Endpoint()}, Logger: zap.NewNop()})
		check(b, err)
		check(b, do(b.Context(), c, i))
		check(b, c.Close())
		return time.Since(start)
	}, nil)
}

// run measures one command, and fails where it breaks a promise.
func (o *operator) run(b *testing.B, name string, floor time.Duration, limit limits, args func(i int) []string) {
	var requests, memory int
	measure(b, name, func(b *testing.B, i int) time.Duration {
		before := o.requests(b)
		cmd := exec.Command(o.confctl, args(i)...)
		cmd.Env, cmd.Stdin = o.env, strings.NewReader("y\n")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		start := time.Now()
		check(b, cmd.Start())
		if limit.memory > 0 {
			memory = max(memory, peak(cmd.Process.Pid))
		}
		if err := cmd.Wait(); err != nil {
			b.Fatalf("%v: %v\n%s", args(i), err, stderr.String())
		}
		took := time.Since(start)
		requests = max(requests, o.requests(b)-before)
		return took
	}, func(b *testing.B, median time.Duration) {
		b.ReportMetric(float64(requests), "requests")
		if limit.memory > 0 {
			b.ReportMetric(float64(memory), "peak-MB")
		}
		if floor > 0 {
			b.ReportMetric(float64(median)/float64(floor), "x-raw")
		}
		if limit.requests > 0 && requests > limit.requests {
			b.Errorf("%d requests, promised %d", requests, limit.requests)
		}
		if limit.time > 0 && median > limit.time {
			b.Errorf("%s, promised %s", median, limit.time)
		}
		if limit.memory > 0 && memory > limit.memory {
			b.Errorf("%d MB, promised %d", memory, limit.memory)
		}
	})
}

// peak watches a process until it ends and returns its largest resident size in
// MB. What the kernel reports at the end would include ours, from before exec.
func peak(pid int) (most int) {
	for {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return most
		}
		_, after, ok := strings.Cut(string(status), "VmHWM:")
		if !ok {
			return most // it has ended
		}
		kb, _, _ := strings.Cut(strings.TrimSpace(after), " ")
		n, _ := strconv.Atoi(kb)
		most = max(most, n>>10)
		time.Sleep(time.Millisecond) // between two looks at a number that only grows
	}
}

// requests returns how many requests the server has begun, by its own count.
func (o *operator) requests(b *testing.B) int {
	resp, err := http.Get(o.etcd.Endpoint() + "/metrics")
	check(b, err)
	defer resp.Body.Close()
	total := 0
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), "} "); ok && strings.HasPrefix(name, "grpc_server_started_total{") {
			n, err := strconv.ParseFloat(value, 64)
			check(b, err)
			total += int(n)
		}
	}
	return total
}

// firstRequest measures the time from the start of the process to its first
// bytes at the store.
func (o *operator) firstRequest(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(b, err)
	defer l.Close()
	measure(b, "start-to-first-request", func(b *testing.B, _ int) time.Duration {
		ctx, cancel := context.WithCancel(b.Context())
		cmd := exec.CommandContext(ctx, o.confctl, "select", "dc=.*", "get")
		cmd.Env = append(o.env, "SLUICE_ENDPOINTS=http://"+l.Addr().String())
		start := time.Now()
		check(b, cmd.Start())
		conn, err := l.Accept()
		check(b, err)
		_, err = conn.Read(make([]byte, 1))
		check(b, err)
		took := time.Since(start)
		cancel()
		_ = cmd.Wait()
		_ = conn.Close()
		return took
	}, nil)
}
