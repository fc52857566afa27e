package health

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"

	"github.com/sluice-lb/sluice/internal/lb"
)

// failure turns the error of a check into its result. An error that is this
// machine's own fault says nothing about the server: the result is unknown.
func failure(err error) result {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		switch errno {
		case syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS,
			syscall.EADDRNOTAVAIL, syscall.EPERM, syscall.EACCES:
			return result{lb.Unknown, "cannot check: " + errno.Error()}
		}
	}
	return result{lb.Down, plainly(err)}
}

// plainly says what an error is in a few words and one line.
func plainly(err error) string {
	var timeout net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return "timeout"
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return clip(err.Error())
}

// clip makes one printable line of at most 120 bytes of what a server may have
// had a hand in.
func clip(text string) string {
	const most = 120
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	if len(text) > most {
		text = text[:most-3] + "..."
	}
	return text
}
