// Package service_test runs the real lbd as a service manager runs it: told of by
// sd_notify, without privileges, from the unit that is installed.
package service_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience bounds everything that is waited for.
const patience = 30 * time.Second

// bin is where TestMain put lbd: a directory that every user can enter.
func bin() string { return os.Getenv("SLUICE_SERVICE_BIN") }

func TestMain(m *testing.M) {
	if child := os.Getenv("SLUICE_SERVICE_CHILD"); child != "" {
		os.Exit(m.Run()) // in a network of its own; see unprivileged_test.go
	}
	dir, err := os.MkdirTemp("", "sluice-service-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err == nil {
		err = build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Setenv("SLUICE_SERVICE_BIN", dir)
	code := m.Run()
	os.RemoveAll(dir)
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// build builds lbd, with the race detector if this test has it.
func build(dir string) error {
	args := []string{"build", "-o", dir + "/"}
	if raceEnabled {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "../../cmd/lbd")...).CombinedOutput(); err != nil {
		return fmt.Errorf("build lbd: %w\n%s", err, out)
	}
	return nil
}

// lookAtSources makes a cached result of a test depend on what is built here: go
// test remembers the files a test looked at, and knows nothing of those its
// children read.
func lookAtSources(t *testing.T) {
	t.Helper()
	for _, path := range []string{"cmd", "internal", "pkg", "schema", "dist", "docs", "go.mod", "Makefile"} {
		err := filepath.WalkDir(filepath.Join("../..", path), func(path string, _ os.DirEntry, err error) error {
			if err == nil {
				_, err = os.Stat(path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// networks hands every test addresses of its own.
var networks atomic.Uint32

func address() string {
	return fmt.Sprintf("127.%d.%d.1", 200+os.Getpid()%50, networks.Add(1))
}

// lbd is a running lbd.
type lbd struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  *output
	done chan struct{} // closed when it has ended
	err  error         // how; once done
}

// start runs lbd with the configuration until the end of the test. Change alters
// the command before.
func start(t *testing.T, config string, change func(*exec.Cmd)) *lbd {
	t.Helper()
	lookAtSources(t)
	l := &lbd{t: t, log: &output{}, done: make(chan struct{})}
	l.cmd = exec.Command(filepath.Join(bin(), "lbd"), "--config", config)
	l.cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	l.cmd.Stderr = l.log
	if change != nil {
		change(l.cmd)
	}
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(l.done); l.err = l.cmd.Wait() }()
	t.Cleanup(func() {
		_ = l.cmd.Process.Kill()
		<-l.done
		if t.Failed() {
			t.Logf("lbd's log:\n%s", l.log)
		}
	})
	return l
}

// signal sends a signal; ended waits for the end.
func (l *lbd) signal(s os.Signal) {
	l.t.Helper()
	if err := l.cmd.Process.Signal(s); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lbd) ended() (code int) {
	l.t.Helper()
	select {
	case <-l.done:
		return l.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		l.t.Fatalf("still running; log:\n%s", l.log)
		return 0
	}
}

// logged waits for a line in the log.
func (l *lbd) logged(pattern string) {
	l.t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	l.log.wait(l.t, func(text string) bool { return re.MatchString(text) }, pattern)
}

// output is what a program has written so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // closed at the next write
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.more != nil {
		close(o.more)
		o.more = nil
	}
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (o *output) wait(t *testing.T, is func(string) bool, what string) {
	t.Helper()
	deadline := time.After(patience)
	for {
		o.mu.Lock()
		if is(o.text.String()) {
			o.mu.Unlock()
			return
		}
		if o.more == nil {
			o.more = make(chan struct{})
		}
		more := o.more
		o.mu.Unlock()
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("never wrote %q; but:\n%s", what, o)
		}
	}
}

// manager is a service manager's end of sd_notify.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
	said []string // everything heard so far
}

func newManager(t *testing.T) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &manager{t: t, conn: conn}
}

// environ is what the manager puts into a service's environment.
func (m *manager) environ(watchdog time.Duration) []string {
	return []string{
		"NOTIFY_SOCKET=" + m.conn.LocalAddr().String(),
		fmt.Sprintf("WATCHDOG_USEC=%d", watchdog.Microseconds()),
	}
}

// next returns the next message, within the time.
func (m *manager) next(within time.Duration) (string, error) {
	if err := m.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return "", err
	}
	buf := make([]byte, 64<<10)
	n, err := m.conn.Read(buf)
	if err == nil {
		m.said = append(m.said, string(buf[:n]))
	}
	return string(buf[:n]), err
}

// hears waits for a message that matches and returns it.
func (m *manager) hears(pattern string) string {
	m.t.Helper()
	re := regexp.MustCompile("^(?:" + pattern + ")$")
	for deadline := time.Now().Add(patience); ; {
		text, err := m.next(time.Until(deadline))
		if err != nil {
			m.t.Fatalf("never heard %q (%v); but:\n%s", pattern, err, strings.Join(m.said, "\n"))
		}
		if re.MatchString(text) {
			return text
		}
	}
}

// write writes a file that everybody can read, and returns its path.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	temporary := path + ".new"
	if err := os.WriteFile(temporary, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temporary, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// needRoot skips, and says so, where a test needs to be root.
func needRoot(t *testing.T) {
	t.Helper()
	if syscall.Geteuid() != 0 {
		t.Skip("SKIPPED: gives up root's privileges, and is not root")
	}
}
