package ipvs

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/sluice-lb/sluice/internal/dataplane"
)

// explainOpen adds the likely cause to an error of opening the socket: a
// generic netlink family that is not there is a module that is not loaded.
func explainOpen(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("this kernel has no IPVS; is the module ip_vs loaded (modprobe ip_vs)?: %w", err)
	}
	return err
}

// explain adds the likely cause of the kernel's errno to an error of op; the
// zero Op's for a dump.
func explain(err error, op dataplane.Op) error {
	if cause := likely(err, op); cause != "" {
		return fmt.Errorf("%s: %w", cause, err)
	}
	return err
}

func likely(err error, op dataplane.Op) string {
	ofDestination := op.Destination.Addr.IsValid()
	switch {
	case errors.Is(err, syscall.EPERM):
		return "needs CAP_NET_ADMIN"
	case errors.Is(err, syscall.ESRCH):
		return "there is no such service"
	case errors.Is(err, syscall.ENOENT) && ofDestination:
		return "there is no such destination"
	case errors.Is(err, syscall.ENOENT) && op.Service.Scheduler != "":
		return fmt.Sprintf("no scheduler %q in this kernel (module ip_vs_%[1]s)", op.Service.Scheduler)
	case errors.Is(err, syscall.EPROTONOSUPPORT):
		return fmt.Sprintf("this kernel's IPVS does not know %s", op.Service.ID.Protocol)
	case errors.Is(err, syscall.EAFNOSUPPORT):
		return "this kernel's IPVS does not know the address family"
	case errors.Is(err, syscall.EINVAL) && ofDestination:
		return invalidDestination(op)
	default:
		return ""
	}
}

// invalidDestination guesses what the kernel minds. It takes a destination of
// the other family for tunnels alone, and an IPv4 address only if its own
// routing calls it local or unicast, which without lo it does not.
func invalidDestination(op dataplane.Op) string {
	if op.Destination.Addr.Addr().Is4() != op.Service.ID.VIP.Addr().Is4() && op.Destination.Forward != dataplane.Tunnel {
		return "a destination of the other address family takes tunnel forwarding"
	}
	return "not a unicast address, or the interface lo is down (ip link set lo up)"
}
