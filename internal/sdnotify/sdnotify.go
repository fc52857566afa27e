// Package sdnotify tells the service manager that started this program how it
// is, in the protocol of sd_notify(3).
package sdnotify

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// Manager is the service manager. A nil one is nobody: telling it something
// does nothing.
type Manager struct {
	addr     *net.UnixAddr
	watchdog time.Duration
}

// FromEnvironment finds the manager in the environment, and takes its variables
// out of there: they are meant for this process and not for its children. It
// returns nil where there is no manager.
func FromEnvironment() (*Manager, error) {
	name := os.Getenv("NOTIFY_SOCKET")
	watchdog, err := daemon.SdWatchdogEnabled(true)
	err = errors.Join(err, os.Unsetenv("NOTIFY_SOCKET"))
	switch {
	case name == "":
		return nil, err
	case name[0] != '/' && name[0] != '@':
		return nil, errors.Join(err, fmt.Errorf("notify socket %q is neither a path nor an abstract name", name))
	}
	return &Manager{addr: &net.UnixAddr{Name: name, Net: "unixgram"}, watchdog: watchdog}, err
}

// Watchdog is how long the manager lets this program be silent before it
// restarts it; 0 means for ever.
func (m *Manager) Watchdog() time.Duration {
	if m == nil {
		return 0
	}
	return m.watchdog
}

// Ready says that the program has started, or that a reload is over.
func (m *Manager) Ready() error { return m.tell(daemon.SdNotifyReady) }

// Reloading says that the program begins to read its configuration again; Ready
// is to follow. The time lets the manager match it with the signal it sent.
func (m *Manager) Reloading() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("notify service manager: read clock: %w", err)
	}
	return m.tell(daemon.SdNotifyReloading, fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000))
}

// Stopping says that the program begins to stop, and how long it may take at
// most.
func (m *Manager) Stopping(most time.Duration) error {
	return m.tell(daemon.SdNotifyStopping, fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", most.Microseconds()))
}

// Status says in a line, for people, how the program is.
func (m *Manager) Status(text string) error {
	return m.tell("STATUS=" + strings.Join(strings.Fields(text), " "))
}

// Alive says that the program is not stuck. It is to be said about twice in
// every Watchdog.
func (m *Manager) Alive() error { return m.tell(daemon.SdNotifyWatchdog) }

// patience is how long the manager may leave its socket full. go-systemd's own
// SdNotify would wait for ever.
const patience = time.Second

// tell sends one datagram.
func (m *Manager) tell(lines ...string) error {
	if m == nil {
		return nil
	}
	conn, err := net.DialUnix(m.addr.Net, nil, m.addr)
	if err != nil {
		return fmt.Errorf("notify service manager: %w", err)
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return fmt.Errorf("notify service manager: %w", err)
	}
	if _, err := conn.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("notify service manager: %w", err)
	}
	return nil
}
