package service_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// dryRun is a configuration on the dry-run plane with services below one file.
func dryRun(addr string, more string) string {
	return fmt.Sprintf(`
[global]
plane = dry-run
name = lb1
register = no
instrumentation = yes
instrumentation_ips = [ '%s' ]
[DEFAULT]
protocol = tcp
scheduler = wrr
ip = %s
%s`, addr, addr, more)
}

// now is the time on the service manager's clock.
func now(t *testing.T) int64 {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return ts.Nano() / 1000
}

// The whole life as the service manager hears it.
func TestManagerIsTold(t *testing.T) {
	addr, dir := address(), t.TempDir()
	pool := write(t, dir, "pool", "{ 'host': '127.0.0.1', 'weight': 10, 'enabled': True }\n")
	web := "[web_80]\nport = 80\nconfig = file://" + pool + "\n"
	config := write(t, dir, "lbd.conf", dryRun(addr, web))
	m := newManager(t)
	l := start(t, config, func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, m.environ(400*time.Millisecond)...) })

	if first, err := m.next(patience); err != nil || first != "READY=1" {
		t.Fatalf("the first word is %q (%v)", first, err)
	}
	resp, err := http.Get("http://" + addr + ":9090/pools") // at once: it listens
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	m.hears("STATUS=1 service")
	m.hears("WATCHDOG=1")
	m.hears("WATCHDOG=1")

	write(t, dir, "lbd.conf", dryRun(addr, web+"[gone_81]\nport = 81\nconfig = file://"+pool+".gone\n"))
	before := now(t)
	l.signal(syscall.SIGHUP)
	usec := strings.TrimPrefix(m.hears("RELOADING=1\nMONOTONIC_USEC=[0-9]+"), "RELOADING=1\nMONOTONIC_USEC=")
	if at, err := strconv.ParseInt(usec, 10, 64); err != nil || at < before || at > now(t) {
		t.Errorf("reload began at %s, was asked for at %d", usec, before)
	}
	m.hears("READY=1")
	m.hears("STATUS=2 services, 1 in trouble: gone_81")

	write(t, dir, "lbd.conf", "[broken]\n")
	l.signal(syscall.SIGHUP)
	m.hears("RELOADING=1\n.*")
	m.hears("READY=1")
	m.hears("STATUS=2 services, 1 in trouble: gone_81; configuration not reloaded: .*/lbd.conf: line 1: .broken. config: missing")
	write(t, dir, "lbd.conf", dryRun(addr, web))
	l.signal(syscall.SIGHUP)
	m.hears("STATUS=1 service")

	l.signal(syscall.SIGTERM)
	m.hears("STOPPING=1\nEXTEND_TIMEOUT_USEC=25000000")
	if code := l.ended(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Routers are given time to move away, so the manager has to give that time too.
func TestManagerIsAskedForTheTimeOfRouters(t *testing.T) {
	addr := address()
	config := strings.Replace(dryRun(addr, ""), "[DEFAULT]", `bgp = yes
bgp-local-asn = 64600
bgp-local-port = -1
bgp-router-id = 192.0.2.10
bgp-peer-address = 127.0.0.9
bgp-drain-wait = 40
[DEFAULT]`, 1)
	m := newManager(t)
	l := start(t, write(t, t.TempDir(), "lbd.conf", config), func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, m.environ(0)...) })
	m.hears("READY=1")
	l.signal(syscall.SIGTERM)
	m.hears("STOPPING=1\nEXTEND_TIMEOUT_USEC=65000000")
	if code := l.ended(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A start that fails says why where systemctl status shows it.
func TestManagerIsToldWhyItFailed(t *testing.T) {
	addr := address()
	taken, err := net.Listen("tcp", addr+":9090")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	m := newManager(t)
	l := start(t, write(t, t.TempDir(), "lbd.conf", dryRun(addr, "")), func(cmd *exec.Cmd) {
		cmd.Env = append(cmd.Env, m.environ(0)...)
	})
	if code := l.ended(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	m.hears("STATUS=status server: listen tcp .*: bind: address already in use")
	for _, said := range m.said {
		if strings.Contains(said, "READY=1") {
			t.Errorf("was ready: %q", said)
		}
	}
}

// Sources that hang, in every way they can, are no reason for a restart.
func TestWatchdogBearsSlowSources(t *testing.T) {
	addr := address()
	hole, err := net.Listen("tcp", addr+":2379") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer hole.Close()
	m := newManager(t)
	l := start(t, write(t, t.TempDir(), "lbd.conf", dryRun(addr, fmt.Sprintf(
		"[etcd_80]\nport = 80\nconfig = etcd://%s:2379/conftool/v1/pools/a/b/c/\n[web_81]\nport = 81\nconfig = http://%s:2379/pool\n", addr, addr))),
		func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, m.environ(400*time.Millisecond)...) })
	m.hears("STATUS=2 services, 2 not heard of yet")
	m.hears("STATUS=2 services, .*in trouble: .*") // long after the watchdog's time
	for range 5 {
		m.hears("WATCHDOG=1")
	}
	l.signal(syscall.SIGTERM)
	if code := l.ended(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A plane that does not come back is one: here its output goes into a pipe that is
// full and that nobody reads.
func TestWatchdogNoticesAWedge(t *testing.T) {
	addr, dir := address(), t.TempDir()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	fill(t, w)
	pool := write(t, dir, "pool", "{ 'host': '127.0.0.1', 'weight': 10, 'enabled': True }\n")
	config := write(t, dir, "lbd.conf", dryRun(addr, "[web_80]\nport = 80\nconfig = file://"+pool+"\n"))
	m := newManager(t)
	l := start(t, config, func(cmd *exec.Cmd) {
		cmd.Env = append(cmd.Env, m.environ(400*time.Millisecond)...)
		cmd.Stdout = w
	})
	w.Close()
	l.logged(`level=ERROR msg="stuck: .*" err="tables are not attended to: context deadline exceeded"$`)
	l.logged(`(?s)stuck.*stuck.*stuck`) // three times in a row: nothing came in between
	drain(m)                            // what it said before
	l.logged(`(?s)(stuck.*){6}`)
	for _, said := range drain(m) {
		if said == "WATCHDOG=1" {
			t.Error("stuck, and says it is alive")
		}
	}
	// Free again, it is alive again.
	go func() { _, _ = r.Read(make([]byte, 1<<20)) }()
	m.hears("WATCHDOG=1")
}

// fill writes into a pipe until it takes no more.
func fill(t *testing.T, w *os.File) {
	t.Helper()
	if err := w.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := w.Write(make([]byte, 4096)); errors.Is(err, os.ErrDeadlineExceeded) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// drain takes what has been said and not heard.
func drain(m *manager) (said []string) {
	for {
		text, err := m.next(time.Millisecond)
		if err != nil {
			return said
		}
		said = append(said, text)
	}
}

// What the manager tells lbd is not for the programs lbd runs.
func TestChildrenDoNotInheritTheManager(t *testing.T) {
	addr, dir := address(), t.TempDir()
	pool := write(t, dir, "pool", "{ 'host': '127.0.0.1', 'weight': 10, 'enabled': True }\n")
	script := write(t, dir, "check", "#!/bin/sh\ncat /proc/self/environ >"+dir+"/seen.new\nmv "+dir+"/seen.new "+dir+"/seen\n")
	if err := os.Chmod(script, 0o755); err != nil {
		t.Fatal(err)
	}
	config := write(t, dir, "lbd.conf", dryRun(addr, "[web_80]\nport = 80\nconfig = file://"+pool+
		"\nmonitors = [ 'RunCommand' ]\nruncommand.command = "+script+"\nruncommand.arguments = []\nruncommand.interval = 0.1\n"))
	m := newManager(t)
	l := start(t, config, func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, m.environ(400*time.Millisecond)...) })
	l.logged(`msg="verdict changed" service=web_80 host=127.0.0.1 was=unknown is=up`)
	seen, err := os.ReadFile(filepath.Join(dir, "seen"))
	if err != nil {
		t.Fatal(err)
	}
	for _, variable := range strings.Split(strings.TrimRight(string(seen), "\x00"), "\x00") {
		if name, _, _ := strings.Cut(variable, "="); name != "PATH" && name != "PWD" {
			t.Errorf("a check is given %s", variable)
		}
	}
}
