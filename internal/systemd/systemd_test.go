package systemd

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestUnitName(t *testing.T) {
	for name, want := range map[string]string{
		"nginx":           "nginx.service",
		"nginx.service":   "nginx.service",
		"nginx.socket":    "nginx.socket",
		"php8.2-fpm":      "php8.2-fpm.service",
		"getty@tty1":      "getty@tty1.service",
		"backup.timer":    "backup.timer",
		"multi.target":    "multi.target",
		"srv-data.mount":  "srv-data.mount",
		"my.servicething": "my.servicething.service",
	} {
		if got := UnitName(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// program writes a shell script and returns its path.
func program(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "restarter")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCommand(t *testing.T) {
	var stdout, stderr bytes.Buffer
	c := Command{Program: program(t, `echo "$#:$1:$2"; echo trouble >&2`), Stdout: &stdout, Stderr: &stderr}
	if err := c.Restart(t.Context(), "a b;$(touch x).service"); err != nil {
		t.Fatal(err)
	}
	if stdout.String() != "2:restart:a b;$(touch x).service\n" || stderr.String() != "trouble\n" {
		t.Errorf("%q, %q", &stdout, &stderr)
	}
}

func TestCommandFails(t *testing.T) {
	for _, c := range []struct {
		script string
		code   int
		want   string
	}{
		{"exit 5", 5, "exit status 5"},
		{"kill -TERM $$", -1, "signal: terminated"},
	} {
		err := Command{Program: program(t, c.script)}.Restart(t.Context(), "nginx.service")
		var code *CodeError
		if !errors.As(err, &code) || code.ExitCode() != c.code {
			t.Errorf("%s: %v", c.script, err)
		}
		if !strings.HasPrefix(err.Error(), "restart nginx.service: ") || !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("%s: %v", c.script, err)
		}
	}
	err := Command{Program: filepath.Join(t.TempDir(), "none")}.Restart(t.Context(), "nginx.service")
	var code *CodeError
	if !errors.Is(err, os.ErrNotExist) || errors.As(err, &code) {
		t.Errorf("missing program: %v", err)
	}
}

// TestCommandInterrupted: the program is asked to end, not killed.
func TestCommandInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ready, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer ready.Close()
	defer w.Close()
	go func() {
		ready.Read(make([]byte, 1))
		cancel()
	}()
	c := Command{Program: program(t, `trap "exit 9" INT; echo; while :; do sleep 0.05; done`), Stdout: w}
	var code *CodeError
	if err := c.Restart(ctx, "nginx.service"); !errors.As(err, &code) || code.Code != 9 {
		t.Errorf("got %v", err)
	}
}

func TestWait(t *testing.T) {
	for _, c := range []struct {
		name  string
		after time.Duration // until the result; 0 is never
		dies  time.Duration // until the connection is lost; 0 is never
		want  string
		err   string
		took  time.Duration
	}{
		{"done", 2500 * time.Millisecond, 0, "done", "", 2500 * time.Millisecond},
		{"bus lost", 0, 1500 * time.Millisecond, "", "lost the D-Bus connection", 2 * time.Second},
		{"cancelled", 0, 0, "", "context deadline exceeded", time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				began := time.Now()
				result := make(chan string, 1)
				if c.after > 0 {
					time.AfterFunc(c.after, func() { result <- "done" })
				}
				got, err := wait(ctx, result, func() bool { return c.dies == 0 || time.Since(began) < c.dies })
				if got != c.want || (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %q, %v", got, err)
				}
				if time.Since(began) != c.took {
					t.Errorf("took %s", time.Since(began))
				}
			})
		})
	}
}

// TestBusWithoutSystemd: no bus is a clear error that names the unit.
func TestBusWithoutSystemd(t *testing.T) {
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+filepath.Join(t.TempDir(), "no-bus"))
	err := systemBus(t).Restart(t.Context(), "sluice-test.service")
	if err == nil || !strings.HasPrefix(err.Error(), "restart sluice-test.service: ") {
		t.Errorf("got %v", err)
	}
}

// systemBus returns a Bus, sure not to reach a real systemd through its private
// socket, which is tried where there is no bus.
func systemBus(t *testing.T) Bus {
	t.Helper()
	if _, err := os.Stat("/run/systemd/private"); err == nil {
		t.Skip("SKIPPED: a real systemd listens on its private socket here")
	}
	return Bus{}
}

// TestBusUnknownUnit asks a real systemd for a unit it does not have.
func TestBusUnknownUnit(t *testing.T) {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		t.Skip("SKIPPED: systemd does not run this machine, so restarting over D-Bus is NOT tested")
	}
	err := Bus{}.Restart(t.Context(), "sluice-no-such-unit.service")
	if err == nil || !strings.Contains(err.Error(), "sluice-no-such-unit.service") {
		t.Errorf("got %v", err)
	}
}
