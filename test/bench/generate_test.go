package bench_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sluice-lb/sluice/internal/devetcd"
	"github.com/sluice-lb/sluice/internal/generate"
	"github.com/sluice-lb/sluice/internal/poolfile"
	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// What generate is measured on, and what it promises.
const (
	generatedPools = 200
	poolNodes      = 50
	coldMost       = time.Second
	changeMost     = 100 * time.Millisecond
	settling       = 20 * time.Millisecond // how long a change waits for others
)

// generatedKey is the key of one node of the pools.
func generatedKey(pool, node int) string {
	return fmt.Sprintf("/conftool/v1/pools/dc%d/cluster%03d/service%03d/node%04d.example", pool/100, pool, pool, node)
}

func seedPools(b *testing.B, client *clientv3.Client) {
	for pool := range generatedPools {
		var ops []clientv3.Op
		for node := range poolNodes {
			ops = append(ops, clientv3.OpPut(generatedKey(pool, node), `{"weight": 10, "pooled": "yes"}`))
		}
		_, err := client.Txn(b.Context()).Then(ops...).Commit()
		check(b, err)
	}
}

// rawReplace is the floor: nobody puts a file of that size in the place of
// another, for good, in less.
func rawReplace(b *testing.B, dir string, files, size int) func(i int) {
	data := make([]byte, size)
	return func(i int) {
		staged := filepath.Join(dir, ".raw")
		f, err := os.Create(staged)
		check(b, err)
		_, err = f.Write(append(data[:size-1], byte(i)))
		check(b, err)
		check(b, f.Sync())
		check(b, f.Close())
		check(b, os.Rename(staged, filepath.Join(dir, fmt.Sprintf("raw%03d", i%files))))
	}
}

// written is a reporter that hands on which files are written.
type written chan string

func (w written) Wrote(file, _ string) { w <- file }

func (w written) Trouble(about string, err error) { w <- fmt.Sprintf("%s: %v", about, err) }

func (w written) Stray(*objects.Type, []string) {}

// BenchmarkGenerate measures one change of one node, among 10,000 in 200 pools,
// from the put until its file is replaced. The wait for others is not work, so
// the ratio is told without it, too.
func BenchmarkGenerate(b *testing.B) {
	w := newStore(b)
	seedPools(b, w.client)
	dir := b.TempDir()
	store, err := state.Open(state.Config{Endpoints: []string{w.etcd.Endpoint()}})
	check(b, err)
	b.Cleanup(func() { _ = store.Close() })
	wrote := make(written, generatedPools)
	engine := generate.New(generate.Options{Store: store, Kind: generate.PyBal(dir, objects.Node(), poolfile.Dict, generate.ByService), Report: wrote})
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- engine.Follow(ctx) }()
	b.Cleanup(func() {
		cancel()
		check(b, <-done)
	})
	for range generatedPools {
		<-wrote
	}
	info, err := os.Stat(filepath.Join(dir, "dc0/service001"))
	check(b, err)
	// The floor is measured in between: a disk that has been left alone for a
	// moment is slower than one that is kept busy.
	raw, floor := rawReplace(b, b.TempDir(), 1, int(info.Size())), []time.Duration{}
	measure(b, "change-to-file-replaced", func(b *testing.B, i int) time.Duration {
		start := time.Now()
		raw(i)
		floor = append(floor, time.Since(start))
		start = time.Now()
		_, err := w.client.Put(b.Context(), generatedKey(1, 27), fmt.Sprintf(`{"weight": %d, "pooled": "yes"}`, 100+i%60_000))
		check(b, err)
		if file := <-wrote; file != "dc0/service001" {
			b.Fatal(file)
		}
		return time.Since(start)
	}, func(b *testing.B, median time.Duration) {
		slices.Sort(floor)
		least := floor[len(floor)/2]
		b.ReportMetric(float64(least.Microseconds())/1000, "raw-p50-ms")
		b.ReportMetric(float64(median)/float64(least), "x-raw")
		b.ReportMetric(float64(median-settling)/float64(least), "x-raw-less-settling")
		if median > changeMost {
			b.Errorf("%s, promised %s", median, changeMost)
		}
	})
}

// BenchmarkConfctlGenerate runs the real program on 10,000 nodes in 200 pools,
// into an empty directory; the floor is the same files, one after the other.
func BenchmarkConfctlGenerate(b *testing.B) {
	o := newOperator(b, devetcd.Options{})
	seedPools(b, o.client)
	raw := rawReplace(b, b.TempDir(), generatedPools, 3000)
	floor := measure(b, "raw-200-files", func(*testing.B, int) time.Duration {
		start := time.Now()
		for i := range generatedPools {
			raw(i)
		}
		return time.Since(start)
	}, nil)
	o.run(b, "generate-pybal-cold", floor, limits{time: coldMost}, func(int) []string {
		return []string{"--quiet", "generate", "pybal", "--out", b.TempDir()}
	})
}
