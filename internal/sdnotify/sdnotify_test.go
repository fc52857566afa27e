package sdnotify

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// listen makes a manager's socket and names it in the environment.
func listen(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return conn
}

func next(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsTold(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), "@sluice-test-" + strconv.Itoa(os.Getpid())} {
		conn := listen(t, name)
		t.Setenv("WATCHDOG_USEC", "30000000")
		t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
		m, err := FromEnvironment()
		check(t, err)
		for _, left := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
			if v, set := os.LookupEnv(left); set {
				t.Errorf("%s=%s is left to children", left, v)
			}
		}
		if m.Watchdog() != 30*time.Second {
			t.Errorf("watchdog %v", m.Watchdog())
		}
		check(t, m.Ready())
		check(t, m.Status("two\nlines"))
		check(t, m.Alive())
		check(t, m.Stopping(25*time.Second))
		got := []string{next(t, conn), next(t, conn), next(t, conn), next(t, conn)}
		want := []string{"READY=1", "STATUS=two lines", "WATCHDOG=1", "STOPPING=1\nEXTEND_TIMEOUT_USEC=25000000"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// The manager takes a reload for the one it asked for if it began later: its
// clock is CLOCK_MONOTONIC, which starts with the machine.
func TestReloadingTellsWhenOnTheManagersClock(t *testing.T) {
	conn := listen(t, filepath.Join(t.TempDir(), "notify"))
	m, err := FromEnvironment()
	check(t, err)
	check(t, m.Reloading())
	first := next(t, conn)
	check(t, m.Reloading())
	times := make([]int64, 2)
	for i, text := range []string{first, next(t, conn)} {
		usec, ok := strings.CutPrefix(text, "RELOADING=1\nMONOTONIC_USEC=")
		if times[i], err = strconv.ParseInt(usec, 10, 64); !ok || err != nil {
			t.Errorf("%q", text)
		}
	}
	uptime, err := os.ReadFile("/proc/uptime")
	check(t, err)
	seconds, err := strconv.ParseFloat(strings.Fields(string(uptime))[0], 64)
	check(t, err)
	if ago := seconds - float64(times[0])/1e6; ago < -1 || ago > 60 || times[1] <= times[0] {
		t.Errorf("reloading at %v, %v s before now", times, ago)
	}
}

func TestNobodyToTell(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	m, err := FromEnvironment()
	if m != nil || err != nil {
		t.Fatalf("%v, %v", m, err)
	}
	if err := errors.Join(m.Ready(), m.Reloading(), m.Status("x"), m.Alive(), m.Stopping(time.Second)); err != nil || m.Watchdog() != 0 {
		t.Errorf("%v, watchdog %v", err, m.Watchdog())
	}
}

// A variable meant for another process is none for this one.
func TestSomebodyElsesWatchdog(t *testing.T) {
	listen(t, filepath.Join(t.TempDir(), "notify"))
	t.Setenv("WATCHDOG_USEC", "1000")
	t.Setenv("WATCHDOG_PID", "1")
	m, err := FromEnvironment()
	if err != nil || m.Watchdog() != 0 {
		t.Errorf("watchdog %v, %v", m.Watchdog(), err)
	}
}

func TestNonsenseInTheEnvironment(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "vsock:2:1234")
	if m, err := FromEnvironment(); m != nil || err == nil {
		t.Errorf("%v, %v", m, err)
	}
	listen(t, filepath.Join(t.TempDir(), "notify"))
	t.Setenv("WATCHDOG_USEC", "soon")
	if m, err := FromEnvironment(); m == nil || err == nil || m.Watchdog() != 0 {
		t.Errorf("%v, %v", m, err)
	}
}

// A manager that reads nothing holds nobody up.
func TestAFullSocketIsAnError(t *testing.T) {
	listen(t, filepath.Join(t.TempDir(), "notify"))
	m, err := FromEnvironment()
	check(t, err)
	for range 10_000 {
		if err = m.Alive(); err != nil {
			break
		}
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after thousands unread: %v", err)
	}
}
