package cli

import (
	"errors"
	"fmt"
	"io"
)

// Exit codes, as scripts around conftool and safe-service-restart know them.
const (
	exitOK         = 0
	exitFailure    = 1   // an object failed, a bad selector, an aborted prompt
	exitUsage      = 2   // the command line itself, or a refused request
	exitBackend    = 3   // the store's driver could not be set up
	exitBadTag     = 3   // a shortcut was given a tag other than service
	exitNoMatch    = 4   // a shortcut matched nothing
	exitUnverified = 127 // the store or a load balancer did not confirm
)

// exitError is an error with an exit code of its own. With a nil err it is
// silent: everything has been said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// withExit gives err an exit code.
func withExit(code int, err error) error { return &exitError{code: code, err: err} }

// finish turns the error a command ends with into one line on stderr and an
// exit code. It is the only place that does.
func finish(program string, stderr io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	code := exitFailure
	var e *exitError
	if errors.As(err, &e) {
		code = e.code
		if e.err == nil {
			return code
		}
	}
	fmt.Fprintf(stderr, "%s: %v\n", program, err)
	return code
}
