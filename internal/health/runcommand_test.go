package health

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-lb/sluice/internal/lb"
)

// commandOf compiles a RunCommand.
func commandOf(t testing.TB, options ...string) commandCheck {
	t.Helper()
	c, err := compile(monitorOf("RunCommand", options...))
	if err != nil {
		t.Fatal(err)
	}
	return c.check.(commandCheck)
}

// shell runs a script as a RunCommand, once, and returns what came of it.
func shell(t testing.TB, script string, options ...string) (result, *account) {
	t.Helper()
	var got result
	p := probeOf(netip.MustParseAddrPort("192.0.2.7:8080"), func(r result) { got = r })
	p.weight.Store(12)
	commandOf(t, append(options, "command", "sh", "arguments", "-c", "arguments", script)...).look(t.Context(), p)
	return got, p.account
}

func TestCommandExit(t *testing.T) {
	for _, tt := range []struct {
		script, exit string
		want         result
	}{
		{"exit 0", "0", result{state: lb.Up}},
		{"exit 1", "1", result{lb.Down, "exit status 1"}},
		{"exit 200", "200", result{lb.Down, "exit status 200"}},
		{"kill -TERM $$", "None", result{lb.Down, "signal: terminated"}},
		{"exec sleep 1000", "None", result{lb.Down, "timeout after 300ms"}},
	} {
		start := time.Now()
		timeout := "10"
		if strings.Contains(tt.want.reason, "timeout") {
			timeout = "0.3"
		}
		got, account := shell(t, tt.script, "timeout", timeout)
		if got != tt.want || time.Since(start) > 5*time.Second {
			t.Errorf("%s: %v %q after %v, want %v %q", tt.script, got.state, got.reason, time.Since(start), tt.want.state, tt.want.reason)
		}
		took := account.read().Took
		if d := took[Look{OK: tt.want.state == lb.Up, Exit: tt.exit}]; d <= 0 || len(took) != 1 {
			t.Errorf("%s: took %v", tt.script, took)
		}
	}
}

// What a command gets: its arguments with the placeholders filled, nothing in
// the environment but the path, no input, a session of its own.
func TestCommandWorld(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	t.Setenv("SECRET", "x")
	c := commandOf(t, "command", "sh", "arguments", "-c", "arguments",
		`{ printf '%s\n' "$@"; tr '\0' '\n' </proc/self/environ; cat; read -r pid _ _ _ group session _ </proc/$$/stat; `+
			`[ "$pid $pid" = "$group $session" ] && echo alone; pwd; } >"$0"`, "arguments", out,
		"arguments", "{server.host}", "arguments", "{server.ip}:{server.port}", "arguments", "{server.weight}", "arguments", "{server.x}")
	var got result
	p := probeOf(netip.MustParseAddrPort("[2001:db8::7]:8080"), func(r result) { got = r })
	p.weight.Store(12)
	c.look(t.Context(), p)
	if got.state != lb.Up {
		t.Errorf("result %v %q", got.state, got.reason)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	want := "s1\n2001:db8::7:8080\n12\n{server.x}\nPATH=" + commandPath + "\n"
	lines := string(text)
	if i := strings.Index(lines, "alone"); i > 0 {
		// What a shell adds to its own environment is not ours.
		var kept []string
		for line := range strings.Lines(lines[:i]) {
			name, _, _ := strings.Cut(line, "=")
			if !slices.Contains([]string{"_", "PWD", "OLDPWD", "SHLVL"}, name) {
				kept = append(kept, line)
			}
		}
		lines = strings.Join(kept, "") + lines[i:]
	}
	if diff := cmp.Diff(want+"alone\n/\n", lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A script that forks and hangs is killed with all it started, and so are
// children that it leaves behind when it ends in time.
func TestCommandChildren(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		want         result
	}{
		{"hangs", "(trap '' TERM HUP; sleep 1000) & sleep 1000 & wait", result{lb.Down, "timeout after 300ms"}},
		{"leaves children", "(trap '' TERM HUP; sleep 1000) & exit 0", result{state: lb.Up}},
		{"fails and leaves children", "sleep 1000 & exit 3", result{lb.Down, "exit status 3"}},
	} {
		fifo := filepath.Join(t.TempDir(), "alive")
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		// The fifo's other end sees its end when no process has it open.
		ended := make(chan error, 1)
		go func() {
			f, err := os.Open(fifo)
			if err == nil {
				_, err = io.Copy(io.Discard, f)
				f.Close()
			}
			ended <- err
		}()
		timeout := "10"
		if tt.want.state == lb.Down && strings.Contains(tt.want.reason, "timeout") {
			timeout = "0.3"
		}
		start := time.Now()
		got, _ := shell(t, "exec 3>'"+fifo+"'; "+tt.script, "timeout", timeout)
		if got != tt.want || time.Since(start) > 5*time.Second {
			t.Errorf("%s: %v %q after %v", tt.name, got.state, got.reason, time.Since(start))
		}
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("%s: a child is alive", tt.name)
		}
	}
}

// A child that leaves the group keeps the output open: nobody waits for it.
func TestCommandEscapedChild(t *testing.T) {
	start := time.Now()
	got, _ := shell(t, "setsid sleep 7 & exit 0", "timeout", "10")
	if got.state != lb.Up || time.Since(start) > 5*time.Second {
		t.Errorf("%v %q after %v", got.state, got.reason, time.Since(start))
	}
}

// The output is logged, and no more of it than its beginning.
func TestCommandOutput(t *testing.T) {
	var log bytes.Buffer
	var got result
	p := probeOf(netip.MustParseAddrPort("192.0.2.7:8080"), func(r result) { got = r })
	p.log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for _, tt := range []struct {
		script, logged string
		most           int
	}{
		{`printf 'out\n\t\033[1m'; echo err >&2`, `host=s1 command=sh output="out\n\t\x1b[1merr\n"`, 300},
		{"exec yes", "output=\"y\\ny\\n", 3 * maxOutput},
		{"true", "", 0},
	} {
		log.Reset()
		commandOf(t, "timeout", "0.3", "command", "sh", "arguments", "-c", "arguments", tt.script).look(t.Context(), p)
		if text := log.String(); !strings.Contains(text, tt.logged) || len(text) > tt.most {
			t.Errorf("%s: %v, logged %d bytes: %.400s", tt.script, got, len(text), text)
		}
	}
	log.Reset()
	commandOf(t, "log-output", "no", "command", "echo", "arguments", "x").look(t.Context(), p)
	if log.Len() > 0 {
		t.Errorf("logged %s", log.String())
	}
}

// A command that cannot run is this machine's trouble.
func TestCommandCannotRun(t *testing.T) {
	for _, command := range []string{"/no/such/command", "no-such-command", "/etc/passwd", "/"} {
		var got result
		commandOf(t, "command", command).look(t.Context(), probeOf(netip.MustParseAddrPort("192.0.2.7:80"), func(r result) { got = r }))
		if got.state != lb.Unknown || !strings.HasPrefix(got.reason, "cannot check: ") {
			t.Errorf("%s: %v %q", command, got.state, got.reason)
		}
	}
}

// Where too many commands run already, one more is not an answer.
func TestCommandNoRoom(t *testing.T) {
	var got result
	p := probeOf(netip.MustParseAddrPort("192.0.2.7:80"), func(r result) { got = r })
	p.slots = make(chan struct{}, 1)
	p.slots <- struct{}{}
	commandOf(t, "command", "true", "interval", "0.05").look(t.Context(), p)
	if got != (result{lb.Unknown, "cannot check: 1 commands run already"}) {
		t.Errorf("%v %q", got.state, got.reason)
	}
	<-p.slots
	commandOf(t, "command", "true").look(t.Context(), p)
	if got.state != lb.Up || len(p.slots) != 0 {
		t.Errorf("%v %q, %d slots taken", got.state, got.reason, len(p.slots))
	}
}

// The end of the program ends the command, and says nothing of the server.
func TestCommandCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	fifo := filepath.Join(t.TempDir(), "started")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	go func() {
		f, err := os.Open(fifo) // waits for the command
		if err == nil {
			f.Close()
		}
		cancel()
	}()
	p := probeOf(netip.MustParseAddrPort("192.0.2.7:80"), func(r result) { t.Errorf("told %v %q", r.state, r.reason) })
	commandOf(t, "timeout", "0", "command", "sh", "arguments", "-c", "arguments", "exec 3>'"+fifo+"'; sleep 1000").look(ctx, p)
}
