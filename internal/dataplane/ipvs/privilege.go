package ipvs

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// mayAdminister tells whether the kernel would take a request of this process:
// it asks for the capability, and even to read. The socket opens without, so
// that the lack would otherwise come up at the first reading only.
func mayAdminister() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	if sets[0].Effective&(1<<unix.CAP_NET_ADMIN) == 0 {
		return errors.New("needs CAP_NET_ADMIN")
	}
	return nil
}
