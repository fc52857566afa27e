package bench_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sluice-lb/sluice/internal/devetcd"
)

// quickSync is a twentieth of the 3.2 s that conftool-sync takes at its best
// for siteNodes new objects on two cores.
const quickSync = 160 * time.Millisecond

// BenchmarkConfctlSync syncs a tree of new nodes into an empty namespace, and
// again when there is nothing to do. The floor is the raw client writing as
// many keys in as large transactions, or reading them in one. The store waits for
// its disk, as the one conftool-sync was measured with did.
func BenchmarkConfctlSync(b *testing.B) {
	o := newOperator(b, devetcd.Options{Fsync: true})
	floor := o.start(b)
	tree := writeTree(b)
	raw := o.raw(b, "raw-create-2000", func(ctx context.Context, c *clientv3.Client, n int) error {
		var puts []clientv3.Op
		for i := range siteNodes {
			puts = append(puts, clientv3.OpPut(fmt.Sprintf("/raw%d%s", n, nodeKey(i)), value(i)))
			if len(puts) == 127 || i == siteNodes-1 {
				if _, err := c.Txn(ctx).Then(puts...).Commit(); err != nil {
					return err
				}
				puts = puts[:0]
			}
		}
		return nil
	})
	spaces := 0
	o.run(b, "sync-2000-new", floor+raw, limits{requests: 30, time: quickSync}, func(int) []string {
		spaces++
		config := filepath.Join(b.TempDir(), "config.yaml")
		check(b, os.WriteFile(config, fmt.Appendf(nil, "endpoints: [%q]\nnamespace: /space%d\n", o.etcd.Endpoint(), spaces), 0o644))
		return []string{"--config", config, "sync", tree}
	})
	o.seed(b, 0, siteNodes)
	rawAll := o.raw(b, "raw-get-2000", func(ctx context.Context, c *clientv3.Client, _ int) error {
		_, err := c.Get(ctx, "/conftool/v1/pools/", clientv3.WithPrefix())
		return err
	})
	o.run(b, "sync-2000-again", floor+rawAll, limits{requests: 1}, func(int) []string { return []string{"sync", tree} })
}

// writeTree declares the nodes that seed stores.
func writeTree(b *testing.B) string {
	hosts := make(map[string]map[string]string) // cluster: host: service, by datacenter
	for i := range siteNodes {
		part := strings.Split(strings.TrimPrefix(nodeKey(i), "/conftool/v1/pools/"), "/")
		dc, cluster, service, host := part[0], part[1], part[2], part[3]
		if hosts[dc] == nil {
			hosts[dc] = make(map[string]string)
		}
		hosts[dc][cluster] += fmt.Sprintf("    %s: [%s]\n", host, service)
	}
	dir := filepath.Join(b.TempDir(), "data")
	check(b, os.MkdirAll(filepath.Join(dir, "node"), 0o755))
	for dc, clusters := range hosts {
		text := dc + ":\n"
		for cluster, lines := range clusters {
			text += "  " + cluster + ":\n" + lines
		}
		check(b, os.WriteFile(filepath.Join(dir, "node", dc+".yaml"), []byte(text), 0o644))
	}
	return dir
}
