package systemd

import (
	"bufio"
	"os/exec"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
)

// manager answers on a real message bus in systemd's place: the part of
// org.freedesktop.systemd1.Manager that a restart needs.
type manager struct {
	conn      *dbus.Conn
	result    string // of every job
	restarted chan string
}

const managerPath = dbus.ObjectPath("/org/freedesktop/systemd1")

// Subscribe makes a manager send its signals; this one always does.
func (m *manager) Subscribe() *dbus.Error { return nil }

// RestartUnit queues a job and, as the real one does, tells its end by a
// signal.
func (m *manager) RestartUnit(name, mode string) (dbus.ObjectPath, *dbus.Error) {
	if name == "missing.service" {
		return "", dbus.NewError("org.freedesktop.systemd1.NoSuchUnit", []any{"Unit missing.service not found."})
	}
	job := dbus.ObjectPath("/org/freedesktop/systemd1/job/7")
	m.restarted <- name + " " + mode
	go func() {
		_ = m.conn.Emit(managerPath, "org.freedesktop.systemd1.Manager.JobRemoved", uint32(7), job, name, m.result)
	}()
	return job, nil
}

// newBus starts a message bus of its own and a manager on it, and makes both
// what this test takes for the system's.
func newBus(t *testing.T, result string) *manager {
	t.Helper()
	program, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Skipf("SKIPPED: no message bus to test against: %v (package dbus-daemon)", err)
	}
	daemon := exec.Command(program, "--session", "--nofork", "--nopidfile", "--print-address")
	out, err := daemon.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = daemon.Process.Kill()
		_ = daemon.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", strings.TrimSpace(address))
	conn, err := dbus.Connect(strings.TrimSpace(address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	m := &manager{conn: conn, result: result, restarted: make(chan string, 1)}
	if err := conn.Export(m, managerPath, "org.freedesktop.systemd1.Manager"); err != nil {
		t.Fatal(err)
	}
	if reply, err := conn.RequestName("org.freedesktop.systemd1", dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("request name: %v, %v", reply, err)
	}
	return m
}

func TestBusRestarts(t *testing.T) {
	m := newBus(t, "done")
	if err := (Bus{}).Restart(t.Context(), "nginx.service"); err != nil {
		t.Fatal(err)
	}
	if got, want := <-m.restarted, "nginx.service replace"; got != want {
		t.Errorf("restarted %q, want %q", got, want)
	}
}

func TestBusTellsHowTheJobEnded(t *testing.T) {
	newBus(t, "failed")
	err := (Bus{}).Restart(t.Context(), "nginx.service")
	if want := `restart nginx.service: systemd says the job ended as "failed"`; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestBusTellsAnUnknownUnit(t *testing.T) {
	newBus(t, "done")
	err := (Bus{}).Restart(t.Context(), "missing.service")
	if want := "restart missing.service: Unit missing.service not found."; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}
