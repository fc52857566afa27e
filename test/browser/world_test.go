package browser_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-lb/sluice/internal/lbd"
	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// nets hands every world a /24 of its own.
var nets atomic.Uint32

// world is an lbd with its files and servers on loopback.
type world struct {
	t        *testing.T
	net, dir string
	conf     strings.Builder
	hosts    strings.Builder
	stop     func() // the running lbd
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), net: fmt.Sprintf("127.%d.%d", 201+os.Getpid()%50, nets.Add(1))}
	fmt.Fprintf(&w.conf, `[global]
name = lb1.example
plane = userspace
hosts-file = %s/hosts
instrumentation = yes
instrumentation_ips = ['%s.100']
register = no
bgp = yes
bgp-local-asn = 64600
bgp-local-port = -1
bgp-router-id = %[2]s.100
bgp-peer-address = %[2]s.120
bgp-peer-port = 1790
bgp-nexthop-ipv4 = %[2]s.100
bgp-drain-wait = 0
`, w.dir, w.net)
	t.Cleanup(func() {
		if w.stop != nil {
			w.stop()
		}
	})
	return w
}

// host names an address within the world's network.
func (w *world) host(name string, number int) {
	fmt.Fprintf(&w.hosts, "%s.%d %s\n", w.net, number, name)
}

// service declares a service whose pool is a file.
func (w *world) service(name string, port int, options ...string) {
	fmt.Fprintf(&w.conf, "\n[%s]\nprotocol = tcp\nip = %s.100\nport = %d\nscheduler = wrr\nconfig = file://%s\ndepool-threshold = .5\n%s\n",
		name, w.net, port, w.file(port), strings.Join(options, "\n"))
}

func (w *world) file(port int) string { return filepath.Join(w.dir, fmt.Sprintf("%d.json", port)) }

// pool says who is in a pool, in JSON.
func (w *world) pool(port int, servers string) {
	w.t.Helper()
	next := w.file(port) + ".next"
	if err := os.WriteFile(next, []byte(servers), 0o644); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(next, w.file(port)); err != nil {
		w.t.Fatal(err)
	}
}

// server answers on an address of the world until the test ends.
func (w *world) server(number, port int) {
	w.t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("%s.%d:%d", w.net, number, port))
	if err != nil {
		w.t.Fatal(err)
	}
	s := &http.Server{Handler: http.NotFoundHandler()}
	go func() { _ = s.Serve(l) }()
	w.t.Cleanup(func() { s.Close() })
}

// url is an address of the status server.
func (w *world) url(path string) string { return fmt.Sprintf("http://%s.100:9090%s", w.net, path) }

// start runs lbd until w.stop, and returns when it listens.
func (w *world) start() {
	w.t.Helper()
	conf := filepath.Join(w.dir, "lbd.conf")
	for file, text := range map[string]string{conf: w.conf.String(), filepath.Join(w.dir, "hosts"): w.hosts.String()} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var log safeBuffer
	done := make(chan int, 1)
	go func() {
		done <- lbd.Main(ctx, lbd.Env{Args: []string{"--config", conf}, Stdout: io.Discard, Stderr: &log, Getenv: func(string) string { return "" }})
	}()
	w.stop = func() {
		cancel()
		if code := <-done; code != 0 {
			w.t.Errorf("lbd ended with %d\n%s", code, log.String())
		}
		w.stop = nil
	}
	for deadline := time.Now().Add(patience); ; {
		resp, err := http.Get(w.url("/pools"))
		if err == nil {
			resp.Body.Close()
			return
		}
		if time.Now().After(deadline) || len(done) > 0 {
			w.t.Fatalf("lbd does not listen: %v\n%s", err, log.String())
		}
	}
}

// reload has the running lbd, the only one in this process, read another
// configuration.
func (w *world) reload(conf string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, "lbd.conf"), []byte(conf), 0o644); err != nil {
		w.t.Fatal(err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		w.t.Fatal(err)
	}
}

// applied waits until so many pools are in force and announced: nothing about
// them changes any more by itself.
func (w *world) applied(pools int) {
	w.t.Helper()
	client, err := lbstatus.New(w.url(""))
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	done := map[string]bool{}
	for e, err := range client.Follow(ctx, "") {
		if err != nil {
			w.t.Fatal(err)
		}
		if r := e.Report; r != nil {
			done[r.Pool] = r.Applied > 0 && r.Applied == r.Seen && r.Announced
		}
		if n := len(done); n == pools && !slices.Contains(slices.Collect(maps.Values(done)), false) {
			return
		}
	}
	w.t.Fatalf("never: %d pools in force: %v", pools, done)
}

// safeBuffer is a log written while it is read.
type safeBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}
