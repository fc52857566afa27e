package bench_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// migrate measures the way in and out of a store of a site's size: each import
// fills a namespace of its own.
func (o *operator) migrate(b *testing.B) {
	dir := b.TempDir()
	file := filepath.Join(dir, "dump.json")
	check(b, os.WriteFile(file, dumpOf(b, siteNodes), 0o644))
	o.run(b, "import-2000", 0, limits{requests: 20}, func(i int) []string {
		config := filepath.Join(dir, "config.yaml")
		check(b, os.WriteFile(config, fmt.Appendf(nil, "endpoints: [%q]\nnamespace: /import%d\n", o.etcd.Endpoint(), i), 0o644))
		return []string{"--config", config, "import", "--from", file, "--prefix", "/conftool/v1"}
	})
	o.run(b, "import-2000-again", 0, limits{requests: 1}, func(int) []string {
		return []string{"import", "--from", file, "--prefix", "/conftool/v1", "--dry-run"}
	})
	o.run(b, "export-2000", 0, limits{requests: 1}, func(int) []string { return []string{"export", "--out", filepath.Join(dir, "out.json")} })
}

// dumpOf is what a v2 server with that many nodes answers.
func dumpOf(b *testing.B, n int) []byte {
	type node struct {
		Key   string `json:"key"`
		Value string `json:"value,omitempty"`
		Nodes []node `json:"nodes,omitempty"`
	}
	root := node{Key: "/conftool"}
	for i := range n {
		root.Nodes = append(root.Nodes, node{Key: nodeKey(i), Value: `{"weight": 10, "pooled": "yes"}`})
	}
	text, err := json.Marshal(map[string]any{"action": "get", "node": root})
	check(b, err)
	return text
}
