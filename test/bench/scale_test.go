package bench_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sluice-lb/sluice/internal/health"
	"github.com/sluice-lb/sluice/internal/lbd"
	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// BenchmarkServices starts a balancer with many services of ten servers each on
// the dry-run plane, and then edits one server of one service: the time of an
// edit should not depend on how many other services there are.
func BenchmarkServices(b *testing.B) {
	for _, n := range []int{10, 1000} {
		b.Run(fmt.Sprintf("%d", n), func(b *testing.B) {
			w := newStore(b)
			config := w.declare(b, n)
			start := time.Now()
			client := runServices(b, config)
			for i := range n {
				w.await(b, client, i, 1)
			}
			cold := metric{"cold-start-ms", float64(time.Since(start).Milliseconds())}
			w.stage(b, "edit-applied", 0, func(i int) {
				resp, err := w.client.Put(b.Context(), serviceKey(7)+"10.0.7.1", value(i))
				check(b, err)
				w.await(b, client, 7, resp.Header.Revision)
			}, cold)
		})
	}
}

// mostMemory is what a balancer of a thousand services may need, in MB.
const mostMemory = 300

// BenchmarkServicesProcess is the cold start as a program of its own, and its
// peak memory.
func BenchmarkServicesProcess(b *testing.B) {
	const n = 1000
	w := newStore(b)
	dir := b.TempDir()
	program, conf := filepath.Join(dir, "lbd"), filepath.Join(dir, "lbd.conf")
	build := exec.Command("go", "build", "-o", program, "./cmd/lbd")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	check(b, os.WriteFile(conf, []byte(w.configuration(b, n)), 0o644))
	client, err := lbstatus.New("http://127.93.0.1:9090")
	check(b, err)
	for b.Loop() {
		start := time.Now()
		cmd := exec.Command(program, "--config", conf)
		check(b, cmd.Start())
		for {
			if _, err := client.Report(b.Context(), "s0", 0, 0); err == nil {
				break
			}
			time.Sleep(time.Millisecond) // until it listens
		}
		for i := range n {
			w.await(b, client, i, 1)
		}
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "cold-start-ms")
		memory := resident(b, cmd.Process.Pid)
		b.ReportMetric(float64(memory), "peak-MB")
		if memory > mostMemory {
			b.Errorf("%d MB, promised %d", memory, mostMemory)
		}
		check(b, cmd.Process.Signal(os.Interrupt))
		check(b, cmd.Wait())
	}
}

// resident is a process's largest resident size so far, in MB.
func resident(b *testing.B, pid int) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	check(b, err)
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	kb, _, _ := strings.Cut(strings.TrimSpace(after), " ")
	n, err := strconv.Atoi(kb)
	check(b, err)
	return n >> 10
}

func serviceKey(i int) string { return fmt.Sprintf("/conftool/v1/pools/dc1/c/s%d/", i) }

// declare stores n pools and returns the configuration that names them.
func (w *world) declare(b *testing.B, n int) *lbd.Config {
	config, err := lbd.ParseConfig([]byte(w.configuration(b, n)), "bench.conf", health.Validate)
	check(b, err)
	return config
}

// configuration stores n pools and returns the text that names them.
func (w *world) configuration(b *testing.B, n int) string {
	var conf strings.Builder
	conf.WriteString("[global]\nplane = dry-run\ninstrumentation = yes\ninstrumentation_ips = [ '127.93.0.1' ]\n")
	for i := range n {
		var ops []clientv3.Op
		for j := range servers {
			ops = append(ops, clientv3.OpPut(fmt.Sprintf("%s10.%d.%d.%d", serviceKey(i), i/250, i%250, j+1), value(0)))
		}
		_, err := w.client.Txn(b.Context()).Then(ops...).Commit()
		check(b, err)
		fmt.Fprintf(&conf, "[s%d]\nprotocol = tcp\nip = 127.94.%d.%d\nport = 80\nscheduler = wrr\nconfig = etcd://%s%s\n",
			i, i/250, i%250+1, w.etcd.Addr(), serviceKey(i))
	}
	return conf.String()
}

// runServices runs a balancer to the end of the benchmark.
func runServices(b *testing.B, config *lbd.Config) *lbstatus.Client {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	ready := make(chan struct{})
	go func() {
		ended <- lbd.Run(ctx, lbd.Options{
			Config: config, Log: slog.New(slog.DiscardHandler), Ops: io.Discard, Ready: func() { close(ready) },
		})
	}()
	b.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	<-ready
	client, err := lbstatus.New("http://127.93.0.1:9090")
	check(b, err)
	return client
}

func (w *world) await(b *testing.B, client *lbstatus.Client, service int, revision int64) {
	r, err := client.Report(b.Context(), fmt.Sprintf("s%d", service), revision, 10*time.Second)
	check(b, err)
	if r.Applied < revision {
		b.Fatalf("service %d: applied %d, want %d", service, r.Applied, revision)
	}
}
