package lab_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-lb/sluice/internal/dataplane"
	"github.com/sluice-lb/sluice/internal/lbd"
	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// asLbd is the environment in which this test program is lbd.
const asLbd = "SLUICE_LAB_LBD=1"

// nobody is a user that owns nothing.
const nobody = 61234

// Case C57: lbd check ipvs-diff against the kernel's own table, kept by an lbd that
// is nobody and has CAP_NET_ADMIN and no other capability.
func TestC57DiffAgainstTheKernelsTable(t *testing.T) {
	if os.Getenv("SLUICE_KERNEL_LAB") == "" {
		t.Skip("needs a kernel with IPVS: run make lab-test")
	}
	if os.Getenv("SLUICE_LAB_CHILD") == "" {
		inOwnNetwork(t)
		return
	}
	dir := openDir(t)
	config := filepath.Join(dir, "lbd.conf")
	pool := filepath.Join(dir, "pool")
	check(t, os.WriteFile(pool, []byte("{ 'host': '127.0.0.11', 'weight': 10, 'enabled': True }\n"+
		"{ 'host': '127.0.0.12', 'weight': 10, 'enabled': True }\n"), 0o644))
	check(t, os.WriteFile(config, fmt.Appendf(nil, `
[global]
plane = ipvs
register = no
instrumentation = yes
instrumentation_ips = [ '127.0.0.1' ]
[web_80]
protocol = tcp
ip = 10.99.0.1
port = 80
scheduler = wrr
config = file://%s
[empty_81]
protocol = tcp
ip = 10.99.0.1
port = 81
scheduler = wrr
config = file://%[1]s.none
`, pool), 0o644))
	stop := runUnprivileged(t, dir, config)
	awaitPooled(t, "web_80", 2)

	// The second service has never had a server, so there is nothing in the
	// kernel for it yet.
	wantCheck(t, config, 2, "CRITICAL: Mismatch between IPVS and PyBal | services=1 destinations=2\n"+
		"Services known to PyBal but not to IPVS: empty_81 (tcp 10.99.0.1:81)\n")
	check(t, os.WriteFile(pool+".none", []byte("{ 'host': '127.0.0.13', 'weight': 10, 'enabled': False }\n"), 0o644))
	awaitPooled(t, "empty_81", 0)
	wantCheck(t, config, 0, "OK: no difference between hosts in IPVS/PyBal | services=2 destinations=2\n")

	// Somebody else at the table.
	web := dataplane.Service{ID: dataplane.ServiceID{Protocol: dataplane.TCP, VIP: netip.MustParseAddrPort("10.99.0.1:80")}}
	stray := dataplane.Service{ID: dataplane.ServiceID{Protocol: dataplane.UDP, VIP: netip.MustParseAddrPort("10.99.0.9:53")}, Scheduler: "rr"}
	at := func(addr string) dataplane.Destination {
		return dataplane.Destination{Addr: netip.MustParseAddrPort(addr), Weight: 1, Forward: dataplane.Direct}
	}
	plane := open(t)
	check(t, plane.Apply(t.Context(), dataplane.Plan{
		{Verb: dataplane.AddService, Service: stray},
		{Verb: dataplane.RemoveDestination, Service: web, Destination: at("127.0.0.12:80")},
		{Verb: dataplane.AddDestination, Service: web, Destination: at("127.0.0.13:80")},
	}))
	wantCheck(t, config, 2, "CRITICAL: Mismatch between IPVS and PyBal | services=3 destinations=2\n"+
		"Services in IPVS but unknown to PyBal: udp 10.99.0.9:53\n"+
		"Hosts known to PyBal but not to IPVS: 127.0.0.12 (127.0.0.12:80) in web_80\n"+
		"Hosts in IPVS but unknown to PyBal: 127.0.0.13:80 in web_80\n")
	stop()
	wantCheck(t, config, 3, "UNKNOWN: get http://localhost:9090/v1/pools/web_80: ")
}

// wantCheck runs lbd check ipvs-diff, which reads the kernel's table itself.
func wantCheck(t *testing.T, config string, code int, said string) {
	t.Helper()
	var out, stderr bytes.Buffer
	got := lbd.Main(t.Context(), lbd.Env{
		Args: []string{"check", "ipvs-diff", "--config", config}, Stdout: &out, Stderr: &stderr, Getenv: os.Getenv,
	})
	text := out.String()
	if code == 3 {
		text = text[:min(len(text), len(said))] // whatever else there is to say
	}
	if got != code || text != said || stderr.Len() > 0 {
		t.Errorf("exit %d (want %d) with\n%swant\n%s%s", got, code, out.String(), said, stderr.String())
	}
}

// openDir is a directory that everybody can enter.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sluice-lab-")
	check(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	check(t, os.Chmod(dir, 0o755))
	return dir
}

// runUnprivileged runs this program, as lbd, as nobody with CAP_NET_ADMIN.
func runUnprivileged(t *testing.T, dir, config string) (stop func()) {
	t.Helper()
	program := filepath.Join(dir, "lbd")
	from, err := os.Open("/proc/self/exe") // where it is, only root may enter
	check(t, err)
	defer from.Close()
	to, err := os.OpenFile(program, os.O_CREATE|os.O_WRONLY, 0o755)
	check(t, err)
	_, err = io.Copy(to, from)
	check(t, err)
	check(t, to.Close())
	cmd := exec.Command(program, "--config", config)
	cmd.Dir = "/"
	cmd.Env = []string{asLbd}
	cmd.Stderr = t.Output()
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential:  &syscall.Credential{Uid: nobody, Gid: nobody},
		AmbientCaps: []uintptr{unix.CAP_NET_ADMIN},
	}
	check(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return func() {
		check(t, cmd.Process.Signal(syscall.SIGTERM))
		check(t, cmd.Wait())
	}
}

// awaitPooled waits until the balancer has heard of the pool and has so many of
// its servers in the table.
func awaitPooled(t *testing.T, pool string, servers int) {
	t.Helper()
	client, err := lbstatus.New("http://127.0.0.1:9090")
	check(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		pooled := 0
		r, err := client.Report(ctx, pool, 0, 0)
		for _, m := range r.Members {
			if m.Pooled {
				pooled++
			}
		}
		if err == nil && r.Applied > 0 && pooled == servers {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%d pooled in %s, want %d: %v %+v", pooled, pool, servers, err, r)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
