package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/sluice-lb/sluice/internal/devetcd"
	"github.com/sluice-lb/sluice/internal/etcdv2/etcdv2test"
)

// v2 builds the real etcd v2 that imports are read from.
var v2 etcdv2test.Builder

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		v2.Close()
		os.Exit(code)
	}))
}

// world is a real store with a namespace of its own, and an environment to run
// commands in.
type world struct {
	t      *testing.T
	client *clientv3.Client
	space  string
	vars   map[string]string
	stdin  io.Reader
	dir    string
}

// startEtcd starts a server for the test and returns a client of it.
func startEtcd(t *testing.T) *clientv3.Client {
	t.Helper()
	server, err := devetcd.Start(devetcd.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{server.Endpoint()}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// newWorld returns a world that holds the objects, given as key and value.
func newWorld(t *testing.T, client *clientv3.Client, objects map[string]string) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{
		t: t, client: client, dir: dir, stdin: strings.NewReader(""),
		space: "/" + strings.Map(func(r rune) rune {
			if r == '/' {
				return '-'
			}
			return r
		}, t.Name()),
	}
	w.vars = map[string]string{
		"USER":             "ada",
		"SLUICE_CONFIG":    w.file("config.yaml", "namespace: \""+w.space+"\"\n"),
		"SLUICE_ENDPOINTS": client.Endpoints()[0],
	}
	for key, value := range objects {
		w.put(key, value)
	}
	return w
}

// base is the state most cases start from.
func base() map[string]string {
	return map[string]string{
		"pools/eqiad/cache_text/https/cp1001":   `{"weight": 10, "pooled": "yes"}`,
		"pools/eqiad/cache_text/https/cp1002":   `{"weight": 10, "pooled": "yes"}`,
		"pools/eqiad/cache_text/https/cp1003":   `{"weight": 10, "pooled": "no"}`,
		"pools/eqiad/cache_text/varnish/cp1001": `{"weight": 1, "pooled": "yes"}`,
		"pools/eqiad/cache_text/varnish/cp1002": `{"weight": 1, "pooled": "yes"}`,
		"pools/eqiad/appservers/apache/mw1001":  `{"weight": 30, "pooled": "yes"}`,
		"pools/codfw/cache_text/https/cp2001":   `{"weight": 10, "pooled": "inactive"}`,
	}
}

// file writes a file into the world's directory.
func (w *world) file(name, content string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return path
}

func (w *world) put(key, value string) {
	w.t.Helper()
	if _, err := w.client.Put(w.t.Context(), w.space+"/v1/"+key, value); err != nil {
		w.t.Fatal(err)
	}
}

// stored returns all objects, key and value.
func (w *world) stored() map[string]string {
	w.t.Helper()
	resp, err := w.client.Get(w.t.Context(), w.space+"/v1/", clientv3.WithPrefix())
	if err != nil {
		w.t.Fatal(err)
	}
	all := make(map[string]string)
	for _, kv := range resp.Kvs {
		all[strings.TrimPrefix(string(kv.Key), w.space+"/v1/")] = string(kv.Value)
	}
	return all
}

// revision returns the store's revision, which any write at all would raise.
func (w *world) revision() int64 {
	w.t.Helper()
	resp, err := w.client.Get(w.t.Context(), w.space+"/v1/none")
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.Header.Revision
}

// wants checks what is stored: before, with the changes; "" means gone.
func (w *world) wants(before, changes map[string]string) {
	w.t.Helper()
	want := make(map[string]string)
	for k, v := range before {
		want[k] = v
	}
	for k, v := range changes {
		want[k] = v
		if v == "" {
			delete(want, k)
		}
	}
	if diff := cmp.Diff(want, w.stored()); diff != "" {
		w.t.Errorf("stored (-want +got):\n%s", diff)
	}
}

// ran is what a command left behind.
type ran struct {
	code           int
	stdout, stderr string
}

func (w *world) run(command func(context.Context, Env) int, args ...string) ran {
	w.t.Helper()
	var stdout, stderr bytes.Buffer
	code := command(w.t.Context(), Env{
		Args: args, Stdin: w.stdin, Stdout: &stdout, Stderr: &stderr,
		Getenv:   func(name string) string { return w.vars[name] },
		Hostname: func() (string, error) { return "cp1001", nil },
	})
	return ran{code, stdout.String(), stderr.String()}
}

// announced is what every announcement on stderr begins with.
const announced = "WARNING:conftool.announce:"

// wants compares a run; stderr need only contain what is wanted, but is one
// line, and empty when nothing is wanted. An announcement counts only where one
// is wanted.
func (r ran) wants(t *testing.T, want ran) {
	t.Helper()
	if before, _, ok := strings.Cut(r.stderr, announced); ok && !strings.Contains(want.stderr, announced) {
		r.stderr = before
	}
	if r.code != want.code {
		t.Errorf("exit %d, want %d", r.code, want.code)
	}
	if diff := cmp.Diff(want.stdout, r.stdout); diff != "" {
		t.Errorf("stdout (-want +got):\n%s", diff)
	}
	if !strings.Contains(r.stderr, want.stderr) || want.stderr == "" && r.stderr != "" {
		t.Errorf("stderr: got %q, want %q", r.stderr, want.stderr)
	}
	if strings.Count(r.stderr, "\n") > max(1, strings.Count(want.stderr, "\n")+1) {
		t.Errorf("stderr: more lines than wanted: %q", r.stderr)
	}
}

// onTerminal runs a command with a terminal for its stderr and returns what it
// showed there.
func (w *world) onTerminal(command func(context.Context, Env) int, args ...string) string {
	w.t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	defer screen.Close()
	fd := int(screen.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		w.t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		w.t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	shown := make(chan string)
	go func() {
		text, _ := io.ReadAll(screen) // ends with an error when the terminal is closed
		shown <- string(text)
	}()
	code := command(w.t.Context(), Env{
		Args: args, Stdin: w.stdin, Stdout: io.Discard, Stderr: tty,
		Getenv:   func(name string) string { return w.vars[name] },
		Hostname: func() (string, error) { return "cp1001", nil },
	})
	if err := tty.Close(); err != nil || code != 0 {
		w.t.Errorf("exit %d, %v", code, err)
	}
	return <-shown
}
