package ipvs

import (
	"fmt"
	"math"
	"net/netip"
	"strings"

	"github.com/cloudflare/ipvs"
	"github.com/cloudflare/ipvs/netmask"

	"github.com/sluice-lb/sluice/internal/dataplane"
)

// maxScheduler is IP_VS_SCHEDNAME_MAXLEN without the closing zero.
const maxScheduler = 15

// encodeID gives what the kernel finds a service by. The mask selects the
// clients that persistence lumps together; it is never left out, for the kernel
// refuses a service without one.
func encodeID(id dataplane.ServiceID) (ipvs.Service, error) {
	family, err := encodeFamily(id.VIP.Addr())
	if err != nil {
		return ipvs.Service{}, err
	}
	service := ipvs.Service{
		Address: id.VIP.Addr(),
		Port:    id.VIP.Port(),
		Family:  family,
		Netmask: netmask.MaskFrom(id.VIP.Addr().BitLen(), id.VIP.Addr().BitLen()),
	}
	switch id.Protocol {
	case dataplane.TCP:
		service.Protocol = ipvs.TCP
	case dataplane.UDP:
		service.Protocol = ipvs.UDP
	case dataplane.SCTP:
		service.Protocol = ipvs.SCTP
	default:
		return ipvs.Service{}, fmt.Errorf("no protocol %q", id.Protocol)
	}
	return service, nil
}

func encodeService(s dataplane.Service) (ipvs.Service, error) {
	service, err := encodeID(s.ID)
	if err != nil {
		return ipvs.Service{}, err
	}
	if s.Scheduler == "" || len(s.Scheduler) > maxScheduler || strings.Contains(s.Scheduler, extra) {
		return ipvs.Service{}, fmt.Errorf("no scheduler %q", s.Scheduler)
	}
	service.Scheduler = s.Scheduler
	if s.OnePacket {
		service.Flags = ipvs.ServiceOnePacket
	}
	return service, nil
}

// encodeReal gives what the kernel finds a destination by.
func encodeReal(addr netip.AddrPort) (ipvs.Destination, error) {
	family, err := encodeFamily(addr.Addr())
	if err != nil {
		return ipvs.Destination{}, err
	}
	return ipvs.Destination{Address: addr.Addr(), Port: addr.Port(), Family: family}, nil
}

func encodeDestination(d dataplane.Destination) (ipvs.Destination, error) {
	destination, err := encodeReal(d.Addr)
	if err != nil {
		return ipvs.Destination{}, err
	}
	if d.Weight < 0 || d.Weight > math.MaxInt32 {
		return ipvs.Destination{}, fmt.Errorf("weight %d is not within 0 and %d", d.Weight, math.MaxInt32)
	}
	destination.Weight = uint32(d.Weight)
	switch d.Forward {
	case dataplane.Direct:
		destination.FwdMethod = ipvs.DirectRoute
	case dataplane.Tunnel:
		destination.FwdMethod = ipvs.Tunnel
	case dataplane.Masquerade:
		destination.FwdMethod = ipvs.Masquerade
	default:
		return ipvs.Destination{}, fmt.Errorf("no forwarding method %q", d.Forward)
	}
	return destination, nil
}

// encodeFamily refuses what the kernel would store as something else and Read
// could then never find again.
func encodeFamily(addr netip.Addr) (ipvs.AddressFamily, error) {
	switch {
	case addr.Is4():
		return ipvs.INET, nil
	case addr.Is6() && !addr.Is4In6() && addr.Zone() == "":
		return ipvs.INET6, nil
	default:
		return 0, fmt.Errorf("%s is no plain IPv4 or IPv6 address", addr)
	}
}
