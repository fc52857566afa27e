package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/sluice-lb/sluice/internal/devetcd"
	"github.com/sluice-lb/sluice/internal/poolfile"
	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// bigSite is 10,000 nodes in 200 pools of two sites.
func bigSite() []state.Entry {
	var entries []state.Entry
	for pool := range 200 {
		for node := range 50 {
			entries = append(entries, state.Entry{
				Key:      fmt.Sprintf("dc%d/cluster%03d/service%03d/node%04d.example", pool/100, pool, pool, node),
				Value:    []byte(`{"weight": 10, "pooled": "yes"}`),
				Revision: int64(pool*50 + node + 1),
			})
		}
	}
	return entries
}

// newFileWriter is a writer of PyBal's files into a new directory.
func newFileWriter(t testing.TB, env Env) (w *fileWriter, dir string) {
	t.Helper()
	dir = t.TempDir()
	d, err := poolfile.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	g := &generation{confctl: &confctl{env: env, quiet: true}, layout: pybalLayout{form: poolfile.Dict}, out: dir}
	return &fileWriter{generation: g, dir: d, nodes: newNodeReader(objects.Node()), written: map[string]string{}, said: map[string]string{}}, dir
}

// One change is one file: the others are neither read nor written.
func TestOneChangeIsOneFile(t *testing.T) {
	var stderr strings.Builder
	w, dir := newFileWriter(t, Env{Stdout: &stderr, Stderr: &stderr})
	entries := bigSite()
	if !w.pass(t.Context(), entries) {
		t.Fatal(stderr.String())
	}
	before := identities(t, dir)
	if len(before) != 200 {
		t.Fatalf("%d files", len(before))
	}
	entries[77].Value, entries[77].Revision = []byte(`{"weight": 3, "pooled": "no"}`), 99999
	if !w.pass(t.Context(), entries) {
		t.Fatal(stderr.String())
	}
	for name, after := range identities(t, dir) {
		if os.SameFile(before[name], after) == (name == "dc0/service001") {
			t.Errorf("%s: written %t", name, !os.SameFile(before[name], after))
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "dc0/service001"))
	if want := "{ 'host': 'node0027.example', 'weight':3, 'enabled': False }\n"; err != nil || !strings.Contains(string(data), want) {
		t.Errorf("%v: %s", err, data)
	}
	// A pool that is no more leaves its file.
	if w.pass(t.Context(), entries[50:]) || !strings.Contains(stderr.String(), "confctl: dc0/service000: its pool is no more: kept as it is\n") {
		t.Error(stderr.String())
	}
	// A store that suddenly is empty changes nothing.
	if w.pass(t.Context(), nil) || !strings.Contains(stderr.String(), "confctl: store: holds no nodes: nothing written\n") {
		t.Error(stderr.String())
	}
	if n := len(identities(t, dir)); n != 200 {
		t.Errorf("%d files left", n)
	}
}

func identities(t testing.TB, dir string) map[string]os.FileInfo {
	t.Helper()
	files := map[string]os.FileInfo{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files[path], err = d.Info()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// Keys can be anything; files stay where they belong.
func TestFileNamesStayInside(t *testing.T) {
	var stderr strings.Builder
	w, dir := newFileWriter(t, Env{Stdout: &stderr, Stderr: &stderr})
	for _, key := range []string{"dc1/web/../be1", "../web/http/be1", "dc1/web/.hidden/be1", "dc1/web/a\nb/be1", "dc1/web/http", "dc1/web//be1"} {
		w.pass(t.Context(), []state.Entry{{Key: key, Value: []byte(`{"pooled": "yes"}`), Revision: 1}})
	}
	if n := len(identities(t, dir)); n != 0 || strings.Count(stderr.String(), "is no name for a file") != 4 {
		t.Errorf("%d files\n%s", n, stderr.String())
	}
	// A host no file can hold is left out and named.
	w.pass(t.Context(), []state.Entry{
		{Key: "dc1/web/ok/a b", Value: []byte(`{"pooled": "yes"}`), Revision: 1},
		{Key: "dc1/web/ok/be1", Value: []byte(`{"pooled": "yes"}`), Revision: 1},
		{Key: "dc1/web/ok/be2", Value: []byte(`{"pooled": "yes", "weight": 70000}`), Revision: 1},
	})
	data, err := os.ReadFile(filepath.Join(dir, "dc1/ok"))
	if err != nil || !strings.HasSuffix(string(data), "lost.\n{ 'host': 'be1', 'weight':0, 'enabled': True }\n") {
		t.Errorf("%v: %s", err, data)
	}
}

// Two clusters whose names run together are no common group.
func TestGroupsOfClustersDoNotMix(t *testing.T) {
	pools := []nodePool{{"dc1", "a-b", "c", nil}, {"dc1", "a", "b-c", nil}, {"dc2", "a-b", "c", nil}}
	files := arrange(dshLayout{}, pools)
	if len(files) != 1 || files[0].err == nil || len(arrange(dshLayout{}, []nodePool{pools[0], pools[2]})[0].pools) != 2 {
		t.Errorf("%+v", files)
	}
}

func TestHookWords(t *testing.T) {
	for _, c := range []struct {
		flags       []string
		want, error string
	}{
		{nil, "", ""},
		{[]string{"check"}, "check FILE", ""},
		{[]string{"check", "-f", "{}", "-v"}, "check -f FILE -v", ""},
		{[]string{"[check, '--file={}', 'a b']"}, "check --file=FILE a b", ""},
		{[]string{"[]"}, "", "names no command"},
		{[]string{""}, "", "names no command"},
		{[]string{"[a, [b]]"}, "", "cannot unmarshal"},
		{[]string{"[a"}, "", "did not find"},
	} {
		h, err := parseHook("check", c.flags)
		if c.error != "" {
			if err == nil || !strings.Contains(err.Error(), c.error) {
				t.Errorf("%q: %v", c.flags, err)
			}
			continue
		}
		if err != nil || h != nil && strings.Join(h.words("FILE"), " ") != c.want {
			t.Errorf("%q: %v, %v", c.flags, h.words("FILE"), err)
		}
	}
	if words := (hook{"reload", "{}"}).words(""); words[1] != "{}" || len(words) != 2 {
		t.Errorf("without a file: %q", words)
	}
}

// A hook that hangs is killed with all it has started.
func TestHookIsKilledWithItsChildren(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	pipe := filepath.Join(t.TempDir(), "started")
	h := hook{"sh", "-c", "sleep 1000 & echo $! >" + pipe + ".new && mv " + pipe + ".new " + pipe + "; wait"}
	done := make(chan error, 1)
	go func() { done <- h.run(ctx, "") }()
	var child string
	for child == "" {
		data, _ := os.ReadFile(pipe)
		child = strings.TrimSpace(string(data))
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for alive(child) { // the kernel takes its time to end it
		if time.Now().After(deadline) {
			t.Fatalf("child %s is alive", child)
		}
	}
}

// alive tells whether a process is more than a zombie.
func alive(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// Every change in a real store is in its file, one by one.
func TestWatchFollowsEveryChange(t *testing.T) {
	w := newWorld(t, startEtcd(t), base())
	out := filepath.Join(w.dir, "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	wrote := make(lineChan, 100)
	env := plainEnv(w.vars, "generate", "pybal", "--out", out, "--watch")
	env.Stdout = wrote
	done := make(chan int, 1)
	go func() { done <- Confctl(ctx, env) }()
	for range 3 {
		<-wrote // one line for each service
	}
	for i := range 10 {
		w.put("pools/eqiad/cache_text/https/cp1001", fmt.Sprintf(`{"weight": %d, "pooled": "yes"}`, 20+i))
		if line := <-wrote; line != "eqiad/https: 3 hosts\n" {
			t.Errorf("wrote %q", line)
		}
		if data, err := os.ReadFile(filepath.Join(out, "eqiad/https")); err != nil || !strings.Contains(string(data), fmt.Sprintf("'weight':%d,", 20+i)) {
			t.Fatalf("%v: %s", err, data)
		}
	}
	cancel()
	if code := <-done; code != exitOK {
		t.Errorf("exit %d", code)
	}
}

// lineChan is a writer whose writes can be waited for.
type lineChan chan string

func (c lineChan) Write(p []byte) (int, error) {
	c <- string(p)
	return len(p), nil
}

// BenchmarkGenerate writes 10,000 nodes in 200 pools: cold, from a real store
// into an empty directory; and one change of one node, while watching.
func BenchmarkGenerate(b *testing.B) {
	b.Run("one-change", func(b *testing.B) {
		w, _ := newFileWriter(b, Env{Stdout: new(strings.Builder), Stderr: new(strings.Builder)})
		entries := bigSite()
		w.pass(b.Context(), entries)
		for i := 0; b.Loop(); i++ {
			entries[77].Value, entries[77].Revision = fmt.Appendf(nil, `{"weight": %d, "pooled": "no"}`, i%60000), int64(100000+i)
			w.pass(b.Context(), entries)
		}
	})
	b.Run("cold", func(b *testing.B) {
		vars := bigStore(b)
		for b.Loop() {
			env := plainEnv(vars, "--quiet", "generate", "pybal", "--out", b.TempDir())
			if code := Confctl(b.Context(), env); code != exitOK {
				b.Fatalf("exit %d: %s", code, env.Stderr)
			}
		}
	})
}

// bigStore fills a store with the big site and returns what leads there.
func bigStore(b *testing.B) map[string]string {
	b.Helper()
	server, err := devetcd.Start(devetcd.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = server.Close() })
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{server.Endpoint()}, Logger: zap.NewNop()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = client.Close() })
	for chunk := range slices.Chunk(bigSite(), 100) {
		var puts []clientv3.Op
		for _, e := range chunk {
			puts = append(puts, clientv3.OpPut("/conftool/v1/pools/"+e.Key, string(e.Value)))
		}
		if _, err := client.Txn(b.Context()).Then(puts...).Commit(); err != nil {
			b.Fatal(err)
		}
	}
	config := filepath.Join(b.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte("endpoints: ["+server.Endpoint()+"]\n"), 0o644); err != nil {
		b.Fatal(err)
	}
	return map[string]string{"SLUICE_CONFIG": config}
}

// plainEnv is an environment with these variables and nothing to read.
func plainEnv(vars map[string]string, args ...string) Env {
	return Env{
		Args: args, Stdin: strings.NewReader(""), Stdout: new(strings.Builder), Stderr: new(strings.Builder),
		Getenv: func(name string) string { return vars[name] }, Hostname: func() (string, error) { return "here.example", nil },
	}
}
