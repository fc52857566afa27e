package ipvs

import (
	"fmt"
	"net/netip"

	"github.com/cloudflare/ipvs"

	"github.com/sluice-lb/sluice/internal/dataplane"
)

// extra comes before each setting that dataplane has no field for.
const extra = "+"

// schedulerFlags are flags whose meaning depends on the scheduler: sh-port and
// mh-fallback, for instance.
const schedulerFlags = ipvs.ServiceSchedulerOpt1 | ipvs.ServiceSchedulerOpt2 | ipvs.ServiceSchedulerOpt3

// decodeService is false for a service that has no protocol, address and port
// to be named by. ServiceHashed is the kernel's own bookkeeping.
func decodeService(s ipvs.Service) (dataplane.Service, bool) {
	if s.FWMark != 0 || !s.Address.IsValid() {
		return dataplane.Service{}, false
	}
	service := dataplane.Service{
		ID: dataplane.ServiceID{
			Protocol: decodeProtocol(s.Protocol),
			VIP:      netip.AddrPortFrom(s.Address, s.Port),
		},
		Scheduler: s.Scheduler,
		OnePacket: s.Flags&ipvs.ServiceOnePacket != 0,
	}
	if s.Flags&ipvs.ServicePersistent != 0 {
		service.Scheduler += extra + "persistent"
	}
	if flags := s.Flags & schedulerFlags; flags != 0 {
		service.Scheduler += fmt.Sprintf("%sflags=%#x", extra, uint32(flags))
	}
	return service, true
}

// decodeProtocol knows three; IPVS itself knows no other that has ports.
func decodeProtocol(p ipvs.Protocol) dataplane.Protocol {
	switch p {
	case ipvs.TCP:
		return dataplane.TCP
	case ipvs.UDP:
		return dataplane.UDP
	case ipvs.SCTP:
		return dataplane.SCTP
	default:
		return dataplane.Protocol(fmt.Sprintf("protocol-%d", uint16(p)))
	}
}

func decodeDestination(d ipvs.Destination) dataplane.Destination {
	return dataplane.Destination{
		Addr:    netip.AddrPortFrom(d.Address, d.Port),
		Weight:  int(int32(d.Weight)), // signed in the kernel
		Forward: decodeForward(d),
	}
}

func decodeForward(d ipvs.Destination) dataplane.Forward {
	var forward dataplane.Forward
	switch d.FwdMethod {
	case ipvs.DirectRoute:
		forward = dataplane.Direct
	case ipvs.Tunnel:
		forward = dataplane.Tunnel
	case ipvs.Masquerade:
		forward = dataplane.Masquerade
	default:
		forward = dataplane.Forward(fmt.Sprintf("method-%d", uint32(d.FwdMethod)))
	}
	if d.FwdMethod == ipvs.Tunnel && d.TunnelType != ipvs.IPIP {
		forward += dataplane.Forward(fmt.Sprintf("%stype=%d", extra, d.TunnelType))
	}
	if d.UpperThreshold != 0 || d.LowerThreshold != 0 {
		forward += dataplane.Forward(fmt.Sprintf("%slimit=%d:%d", extra, d.LowerThreshold, d.UpperThreshold))
	}
	return forward
}
