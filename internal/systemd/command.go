package systemd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// Command restarts units by running "PROGRAM restart UNIT", without a shell:
// systemctl itself, or whatever a site has in its place.
type Command struct {
	// Program is a path, or a name looked up in PATH.
	Program string
	// Stdout and Stderr take what it prints.
	Stdout, Stderr io.Writer
}

// CodeError is the failure of a program that has run.
type CodeError struct {
	Unit string
	// Code is its exit code; -1 when a signal ended it.
	Code int
	Err  error
}

// Error names the unit and what became of the program.
func (e *CodeError) Error() string { return fmt.Sprintf("restart %s: %v", e.Unit, e.Err) }

// Unwrap returns the cause.
func (e *CodeError) Unwrap() error { return e.Err }

// ExitCode returns Code.
func (e *CodeError) ExitCode() int { return e.Code }

// killDelay is how long a program has to end once it has been asked to.
const killDelay = 5 * time.Second

// Restart runs the program and waits for it. The error is a *CodeError when it
// ran. When ctx ends the program is interrupted.
func (c Command) Restart(ctx context.Context, unit string) error {
	cmd := exec.CommandContext(ctx, c.Program, "restart", unit)
	cmd.Stdout, cmd.Stderr = c.Stdout, c.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = killDelay
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit):
		return &CodeError{Unit: unit, Code: exit.ExitCode(), Err: fmt.Errorf("%s: %w", c.Program, err)}
	}
	return fmt.Errorf("restart %s: %w", unit, err)
}
