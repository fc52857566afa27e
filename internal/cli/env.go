// Package cli is the operator's side as typed: confctl, pool, depool, drain,
// decommission and restart-service. It is the only room that prints or chooses
// an exit code.
package cli

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Env is everything a command gets from outside. Tests fill it in; OS returns
// the real one.
type Env struct {
	// Args are the arguments behind the program's name.
	Args   []string
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	// Getenv looks up an environment variable.
	Getenv func(string) string
	// Hostname returns the machine's fully qualified name.
	Hostname func() (string, error)
}

// OS returns the process's own environment.
func OS() Env {
	return Env{
		Args:     os.Args[1:],
		Stdin:    os.Stdin,
		Stdout:   os.Stdout,
		Stderr:   os.Stderr,
		Getenv:   os.Getenv,
		Hostname: fqdn,
	}
}

// interactive tells whether somebody sits at a terminal: stdin and stdout both
// are one.
func (e Env) interactive() bool { return isTerminal(e.Stdin) && isTerminal(e.Stdout) }

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
