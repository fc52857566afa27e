// Package lab_test runs whole programs against a real kernel with IPVS; see run
// and CONTRIBUTING.md.
package lab_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/sluice-lb/sluice/internal/dataplane"
	"github.com/sluice-lb/sluice/internal/dataplane/ipvs"
	"github.com/sluice-lb/sluice/internal/devetcd"
	"github.com/sluice-lb/sluice/internal/health"
	"github.com/sluice-lb/sluice/internal/lbd"
	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

const prefix = "/conftool/v1/pools/dc1/web/http/"

// The road into the kernel: an edit in etcd is in the kernel's table at its
// revision; a stop leaves the table; a restart changes nothing and leaves alone
// what is not its own.
func TestBalancerKeepsTheKernelsTable(t *testing.T) {
	if os.Getenv("SLUICE_KERNEL_LAB") == "" {
		t.Skip("needs a kernel with IPVS: run make lab-test")
	}
	if os.Getenv("SLUICE_LAB_CHILD") == "" {
		inOwnNetwork(t)
		return
	}
	etcd, err := devetcd.Start(devetcd.Options{})
	check(t, err)
	t.Cleanup(func() { _ = etcd.Close() })
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{etcd.Endpoint()}, Logger: zap.NewNop()})
	check(t, err)
	t.Cleanup(func() { _ = client.Close() })
	put := func(host, value string) int64 {
		resp, err := client.Put(t.Context(), prefix+host, value)
		check(t, err)
		return resp.Header.Revision
	}
	put("127.0.0.11", `{"weight": 10, "pooled": "yes"}`)
	put("127.0.0.12", `{"weight": 0, "pooled": "yes"}`)
	rev := put("127.0.0.13", `{"weight": 30, "pooled": "yes"}`)

	stop := balance(t, etcd.Addr())
	applied(t, rev)
	want(t, "-a 127.0.0.11 10", "-a 127.0.0.12 0", "-a 127.0.0.13 30")
	rev = put("127.0.0.13", `{"weight": 30, "pooled": "no"}`)
	applied(t, rev)
	want(t, "-a 127.0.0.11 10", "-a 127.0.0.12 0")
	stop()
	want(t, "-a 127.0.0.11 10", "-a 127.0.0.12 0")

	plane := open(t)
	stray := dataplane.Service{ID: dataplane.ServiceID{Protocol: dataplane.TCP, VIP: netip.MustParseAddrPort("10.99.0.9:80")}, Scheduler: "rr"}
	check(t, plane.Apply(t.Context(), dataplane.Plan{{Verb: dataplane.AddService, Service: stray}}))
	before, err := plane.Read(t.Context())
	check(t, err)
	stop = balance(t, etcd.Addr())
	applied(t, rev)
	after, err := plane.Read(t.Context())
	check(t, err)
	if !after.Equal(before) {
		t.Errorf("a restart made\n%v\nof\n%v", after, before)
	}
	stop()
}

// inOwnNetwork runs this test again in a network namespace of its own: IPVS has
// a table for each, so the host's is left alone.
func inOwnNetwork(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "SLUICE_LAB_CHILD=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestMain brings the loopback interface up in a new namespace, or is lbd.
func TestMain(m *testing.M) {
	if slices.Contains(os.Environ(), asLbd) {
		os.Exit(lbd.Main(context.Background(), lbd.Env{Args: os.Args[1:], Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv}))
	}
	if os.Getenv("SLUICE_LAB_CHILD") != "" {
		if err := loopbackUp(); err != nil {
			fmt.Fprintln(os.Stderr, "bring lo up:", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// balance runs a balancer on the kernel's plane until the returned func stops it.
func balance(t *testing.T, etcd string) (stop func()) {
	t.Helper()
	config, err := lbd.ParseConfig(fmt.Appendf(nil, `
[global]
plane = ipvs
instrumentation = yes
instrumentation_ips = [ '127.0.0.1' ]
[web_80]
protocol = tcp
ip = 10.99.0.1
port = 80
scheduler = wrr
config = etcd://%s%s
depool-threshold = 0
`, etcd, prefix), "lab.conf", health.Validate)
	check(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	ready := make(chan struct{})
	go func() {
		ended <- lbd.Run(ctx, lbd.Options{Config: config, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Ready: func() { close(ready) }})
	}()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("balancer did not start: %v", err)
	}
	return func() {
		cancel()
		check(t, <-ended)
	}
}

func applied(t *testing.T, revision int64) {
	t.Helper()
	client, err := lbstatus.New("http://127.0.0.1:9090")
	check(t, err)
	defer client.Close()
	r, err := client.Report(t.Context(), "web_80", revision, 20*time.Second)
	check(t, err)
	if r.Applied < revision {
		t.Fatalf("applied %d, want %d: %+v", r.Applied, revision, r)
	}
}

// want checks the kernel's destinations, "-a HOST WEIGHT" each.
func want(t *testing.T, servers ...string) {
	t.Helper()
	table, err := open(t).Read(t.Context())
	check(t, err)
	var got []string
	for _, s := range table {
		for _, d := range s.Destinations {
			got = append(got, fmt.Sprintf("-a %s %d", d.Addr.Addr(), d.Weight))
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(servers) {
		t.Errorf("the kernel has %v, want %v", got, servers)
	}
}

func open(t *testing.T) *ipvs.Plane {
	t.Helper()
	p, err := ipvs.New()
	check(t, err)
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
