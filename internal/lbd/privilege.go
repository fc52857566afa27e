package lbd

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// explainPrivilege says what a program that may not bind a port lacks. Joined
// errors are explained one by one.
func explainPrivilege(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, explainPrivilege(e))
		}
		return errors.Join(all...)
	}
	var call *os.SyscallError
	if errors.As(err, &call) && call.Syscall == "bind" && errors.Is(call.Err, syscall.EACCES) {
		return fmt.Errorf("%w: ports below 1024 take CAP_NET_BIND_SERVICE", err)
	}
	return err
}
