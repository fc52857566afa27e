package userspace

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/sluice-lb/sluice/internal/dataplane"
)

// Preflight tells whether every one of the services could be opened now: it
// binds each address, lets go of it again, and returns all errors joined.
func Preflight(ids []dataplane.ServiceID) error {
	var errs []error
	for _, id := range ids {
		if err := tryBind(id); err != nil {
			errs = append(errs, fmt.Errorf("bind service %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

func tryBind(id dataplane.ServiceID) error {
	ctx := context.Background()
	switch id.Protocol {
	case dataplane.TCP:
		l, err := listenTCP(ctx, id.VIP)
		if err != nil {
			return err
		}
		return l.Close()
	case dataplane.UDP:
		conn, err := listenUDP(ctx, id.VIP)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	return fmt.Errorf("protocol %q: %w", id.Protocol, errors.ErrUnsupported)
}

func listenTCP(ctx context.Context, vip netip.AddrPort) (*net.TCPListener, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // connections of plain TCP can be spliced
	l, err := lc.Listen(ctx, "tcp", vip.String())
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil
}

func listenUDP(ctx context.Context, vip netip.AddrPort) (*net.UDPConn, error) {
	var lc net.ListenConfig
	conn, err := lc.ListenPacket(ctx, "udp", vip.String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}
