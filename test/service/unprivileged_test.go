package service_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// nobody is a user that owns nothing.
const nobody = 61234

// as makes a command that of a user with just these capabilities, as a unit with
// User= and AmbientCapabilities= does.
func as(capabilities ...uintptr) func(*exec.Cmd) {
	return func(cmd *exec.Cmd) {
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Credential:  &syscall.Credential{Uid: nobody, Gid: nobody},
			AmbientCaps: capabilities,
		}
	}
}

// inOwnNetwork runs the test again in a network namespace of its own, where all
// ports are free and those below 1024 are privileged whatever this machine says.
// It returns false in the namespace.
func inOwnNetwork(t *testing.T) (done bool) {
	t.Helper()
	needRoot(t)
	if os.Getenv("SLUICE_SERVICE_CHILD") != "" {
		loopbackUp(t)
		return false
	}
	lookAtSources(t)
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "SLUICE_SERVICE_CHILD=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return true
}

func loopbackUp(t *testing.T) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		t.Fatalf("bring lo up: %v", err)
	}
}

// openDir is a directory that every user can enter, and that nobody owns.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sluice-unprivileged-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

const web80 = `
[web_80]
protocol = tcp
ip = 127.0.0.1
port = 80
scheduler = wrr
monitors = [ 'TCPConnect' ]
config = file://%s
`

// Two capabilities are enough: for a service and the status server on ports
// below 1024, for a BGP port, for the state directory.
func TestTwoCapabilitiesAreEnough(t *testing.T) {
	if inOwnNetwork(t) {
		return
	}
	backend, err := net.Listen("tcp", "127.0.0.2:80")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "served") })}
	go func() { _ = server.Serve(backend) }()
	defer server.Close()
	dir := openDir(t)
	state := filepath.Join(dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(state, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	pool := write(t, dir, "pool", "{ 'host': '127.0.0.2', 'weight': 10, 'enabled': True }\n")
	config := write(t, dir, "lbd.conf", `
[global]
plane = userspace
register = no
instrumentation = yes
instrumentation_ips = [ '127.0.0.1' ]
instrumentation_port = 90
bgp = yes
bgp-local-asn = 64600
bgp-local-ips = [ '127.0.0.1' ]
bgp-peer-address = 127.0.0.9
bgp-nexthop-ipv4 = 127.0.0.1
`+fmt.Sprintf(web80, pool))
	l := start(t, config, func(cmd *exec.Cmd) {
		as(unix.CAP_NET_ADMIN, unix.CAP_NET_BIND_SERVICE)(cmd)
		cmd.Env = append(cmd.Env, "STATE_DIRECTORY="+state)
	})
	l.logged("balancer is running")
	credentials, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", l.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{`Uid:\t61234\t61234\t61234\t61234`, `CapPrm:\t0000000000001400`, `CapEff:\t0000000000001400`} {
		if !regexp.MustCompile("(?m)^" + line + "$").Match(credentials) {
			t.Errorf("it runs with other credentials than %s:\n%s", line, credentials)
		}
	}
	if got := get(t, "http://127.0.0.1:80/"); got != "served" {
		t.Errorf("through the balancer: %q", got)
	}
	if got := get(t, "http://127.0.0.1:90/pools"); got != "web_80\n" {
		t.Errorf("from the status server: %q", got)
	}
	conn, err := net.Dial("tcp", "127.0.0.1:179")
	if err != nil {
		t.Error(err)
	} else {
		conn.Close()
	}
	l.signal(syscall.SIGTERM)
	if code := l.ended(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(filepath.Join(state, "pools", "web_80.json")); err != nil {
		t.Error(err)
	}
}

// get asks until there is an answer: the table follows the start.
func get(t *testing.T, url string) string {
	t.Helper()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	for deadline := time.Now().Add(patience); ; {
		resp, err := client.Get(url)
		if err == nil {
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			return string(body)
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // a pause between questions, not a wait for an outcome
	}
}

// What is missing is said, in one line, by the name it has in a unit.
func TestMissingCapabilitiesAreNamed(t *testing.T) {
	if inOwnNetwork(t) {
		return
	}
	dir := openDir(t)
	pool := write(t, dir, "pool", "")
	const bgp = "bgp = yes\nbgp-local-asn = 64600\nbgp-local-ips = [ '127.0.0.1' ]\nbgp-peer-address = 127.0.0.9\nbgp-nexthop-ipv4 = 127.0.0.1\n"
	for _, tt := range []struct {
		name, global string
		has          uintptr
		want         string
	}{
		{"a service's port", "plane = userspace", unix.CAP_NET_ADMIN,
			`^lbd: bind service tcp 127\.0\.0\.1:80: .*: permission denied: ports below 1024 take CAP_NET_BIND_SERVICE$`},
		{"the status server's port", "plane = dry-run\ninstrumentation = yes\ninstrumentation_port = 90", unix.CAP_NET_ADMIN,
			`^lbd: status server: .*: permission denied: ports below 1024 take CAP_NET_BIND_SERVICE$`},
		{"the BGP port", "plane = dry-run\n" + bgp, unix.CAP_NET_ADMIN,
			`^lbd: bgp: start bgp: .*permission denied: ports below 1024 take CAP_NET_BIND_SERVICE$`},
		{"the kernel's table", "plane = ipvs", unix.CAP_NET_BIND_SERVICE,
			`^lbd: open ipvs: needs CAP_NET_ADMIN$`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := write(t, dir, "lbd.conf", "[global]\n"+tt.global+fmt.Sprintf(web80, pool))
			l := start(t, config, as(tt.has))
			if code := l.ended(); code != 1 {
				t.Errorf("exit code %d", code)
			}
			lines := strings.Split(strings.TrimSpace(l.log.String()), "\n")
			if last := lines[len(lines)-1]; !regexp.MustCompile(tt.want).MatchString(last) {
				t.Errorf("it ends with %q, want %s", last, tt.want)
			}
			if n := strings.Count(l.log.String(), "lbd: "); n != 1 {
				t.Errorf("%d complaints", n)
			}
		})
	}
}
