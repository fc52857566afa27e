package health

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-lb/sluice/internal/lb"
)

// commandCheck is PyBal's RunCommand: it runs a program, and a server is up if
// that ends with exit status 0.
type commandCheck struct {
	interval  time.Duration
	timeout   time.Duration // 0: none
	command   string
	arguments []string // with placeholders
	logOutput bool
}

const (
	// maxCommands is how many commands run at a time at most, over all
	// services.
	maxCommands = 256
	// maxOutput is how much of a command's output is kept for the log.
	maxOutput = 4 << 10
	// quickOutput is how much a command may write as fast as it likes.
	quickOutput = 1 << 20
	// commandPath is all of a command's environment, and where it is looked
	// for if its name has no directory.
	commandPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	// pipeGrace is how long output may be held open by processes that left
	// the command's group.
	pipeGrace = 100 * time.Millisecond
)

func newCommand(o *options) commandCheck {
	c := commandCheck{
		interval:  o.seconds("interval", 60*time.Second, 10*time.Millisecond),
		timeout:   o.seconds("timeout", 20*time.Second, 0),
		arguments: []string{""}, // PyBal's default
		logOutput: o.yes("log-output", true),
	}
	c.command, _ = o.plain("command")
	switch {
	case c.command == "":
		o.fail("command", "missing")
	case strings.Contains(c.command, "/") && !filepath.IsAbs(c.command):
		o.fail("command", "%q is neither a plain name nor an absolute path", c.command)
	}
	if values := o.get("arguments"); values != nil {
		c.arguments = values
	}
	for _, text := range append(c.arguments, c.command) {
		if strings.Contains(text, "\x00") {
			o.fail("arguments", "%q holds a zero byte", text)
		}
	}
	return c
}

func (c commandCheck) run(ctx context.Context, p *probe) {
	every(ctx, c.interval, func() { c.look(ctx, p) })
}

// look runs the command once. The result is told by the timeout at the
// latest; the next look waits until the process is really gone, which one that
// hangs in the kernel may take its time for.
func (c commandCheck) look(ctx context.Context, p *probe) {
	if !c.enter(ctx, p) {
		return
	}
	defer func() { <-p.slots }()
	var output head
	cmd := c.prepare(p, &output)
	start := time.Now()
	if err := cmd.Start(); err != nil {
		// That the command cannot run says nothing about the server.
		p.tell(result{lb.Unknown, clip("cannot check: " + err.Error())})
		return
	}
	exited := make(chan struct{})
	go func() {
		awaitExit(cmd.Process.Pid)
		close(exited)
	}()
	var late <-chan time.Time
	if c.timeout > 0 {
		timer := time.NewTimer(c.timeout)
		defer timer.Stop()
		late = timer.C
	}
	told := false
	select {
	case <-exited:
	case <-ctx.Done():
		told = true
	case <-late:
		p.account.took(Look{Exit: "None"}, time.Since(start))
		p.tell(result{lb.Down, "timeout after " + c.timeout.String()})
		told = true
	}
	// The process may have ended and is not reaped yet, so that the number of
	// its group cannot be somebody else's. Children it left go with it.
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	<-exited
	took := time.Since(start)
	err := cmd.Wait()
	if c.logOutput && output.total > 0 {
		p.log.Debug("command output", "service", p.service, "host", p.host, "command", c.command, "output", string(output.kept))
	}
	if !told {
		c.report(p, cmd.ProcessState, err, took)
	}
}

// enter waits for room to run a command in, no longer than one may run.
func (c commandCheck) enter(ctx context.Context, p *probe) bool {
	select {
	case p.slots <- struct{}{}:
		return true
	default:
	}
	timer := time.NewTimer(min(max(c.timeout, time.Second), c.interval))
	defer timer.Stop()
	select {
	case p.slots <- struct{}{}:
		return true
	case <-timer.C:
		p.tell(result{lb.Unknown, fmt.Sprintf("cannot check: %d commands run already", cap(p.slots))})
	case <-ctx.Done():
	}
	return false
}

// prepare makes the command for one server, in a session and so a process
// group of its own.
func (c commandCheck) prepare(p *probe, output *head) *exec.Cmd {
	fill := strings.NewReplacer(
		"{server.host}", p.host,
		"{server.ip}", p.addr.Addr().String(),
		"{server.port}", strconv.Itoa(int(p.addr.Port())),
		"{server.weight}", strconv.FormatInt(p.weight.Load(), 10),
	)
	args := []string{c.command}
	for _, a := range c.arguments {
		args = append(args, fill.Replace(a))
	}
	return &exec.Cmd{
		Path:        find(c.command),
		Args:        args,
		Env:         []string{"PATH=" + commandPath},
		Dir:         "/",
		Stdout:      output,
		Stderr:      output,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
		WaitDelay:   pipeGrace,
	}
}

// find returns where a command without a directory is.
func find(command string) string {
	if filepath.IsAbs(command) {
		return command
	}
	for _, dir := range filepath.SplitList(commandPath) {
		path := filepath.Join(dir, command)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return command
}

// awaitExit returns when the process has ended, and leaves it to be reaped.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// report judges a command that ended by itself.
func (c commandCheck) report(p *probe, state *os.ProcessState, err error, took time.Duration) {
	if state == nil { // not reaped, which cannot be the server's fault
		p.tell(result{lb.Unknown, clip(fmt.Sprintf("cannot check: %v", err))})
		return
	}
	look := Look{OK: state.Success(), Exit: strconv.Itoa(state.ExitCode())}
	if state.ExitCode() < 0 {
		look.Exit = "None"
	}
	p.account.took(look, took)
	if state.Success() {
		p.tell(result{state: lb.Up})
	} else {
		p.tell(result{lb.Down, state.String()}) // "exit status 2", "signal: killed"
	}
}

// head keeps the beginning of what is written to it. A command that writes
// without end is slowed down.
type head struct {
	kept  []byte
	total int
}

// Write never fails, so that a command with much to say is not stopped by it.
func (h *head) Write(p []byte) (int, error) {
	h.kept = append(h.kept, p[:min(len(p), maxOutput-len(h.kept))]...)
	if h.total += len(p); h.total > quickOutput {
		time.Sleep(drainPause)
	}
	return len(p), nil
}
