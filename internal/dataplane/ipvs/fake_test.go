package ipvs

import (
	"maps"
	"net/netip"
	"os"
	"slices"
	"syscall"

	"github.com/cloudflare/ipvs"
	"github.com/cloudflare/ipvs/netmask"
)

// fake is a table with the kernel's and the library's manners: errnos as in
// ip_vs_ctl.c, an empty dump as os.ErrNotExist. TestErrnos holds both to them.
type fake struct {
	services map[fakeID]*fakeService
}

type fakeID struct {
	protocol ipvs.Protocol
	addr     netip.AddrPort
	fwmark   uint32
}

type fakeService struct {
	ipvs.Service
	destinations map[netip.AddrPort]ipvs.Destination
}

func newFake() *fake { return &fake{services: map[fakeID]*fakeService{}} }

func (f *fake) kernel() kernel {
	return kernel{
		services:          f.dump,
		createService:     f.createService,
		updateService:     f.updateService,
		removeService:     f.removeService,
		destinations:      f.dumpDestinations,
		createDestination: f.createDestination,
		updateDestination: f.updateDestination,
		removeDestination: f.removeDestination,
		close:             func() error { return nil },
	}
}

func idOf(s ipvs.Service) fakeID {
	return fakeID{s.Protocol, netip.AddrPortFrom(s.Address, s.Port), s.FWMark}
}

func (f *fake) dump() ([]ipvs.ServiceExtended, error) {
	var list []ipvs.ServiceExtended
	for s := range maps.Values(f.services) {
		list = append(list, ipvs.ServiceExtended{Service: s.Service})
	}
	if len(list) == 0 {
		return nil, os.ErrNotExist
	}
	return list, nil
}

func (f *fake) createService(s ipvs.Service) error {
	if err := checkService(s); err != nil {
		return err
	}
	if f.services[idOf(s)] != nil {
		return syscall.EEXIST
	}
	s.Flags |= ipvs.ServiceHashed
	f.services[idOf(s)] = &fakeService{s, map[netip.AddrPort]ipvs.Destination{}}
	return nil
}

func (f *fake) updateService(s ipvs.Service) error {
	found := f.services[idOf(s)]
	if found == nil {
		return syscall.ESRCH
	}
	if err := checkService(s); err != nil {
		return err
	}
	s.Flags |= ipvs.ServiceHashed
	found.Service = s
	return nil
}

func checkService(s ipvs.Service) error {
	switch {
	case s.Netmask == netmask.Mask{}:
		return syscall.EINVAL
	case !slices.Contains([]string{"rr", "wrr", "wlc", "sh", "mh"}, s.Scheduler):
		return syscall.ENOENT
	}
	return nil
}

func (f *fake) removeService(s ipvs.Service) error {
	if f.services[idOf(s)] == nil {
		return syscall.ESRCH
	}
	delete(f.services, idOf(s))
	return nil
}

func (f *fake) dumpDestinations(s ipvs.Service) ([]ipvs.DestinationExtended, error) {
	found := f.services[idOf(s)]
	if found == nil || len(found.destinations) == 0 {
		return nil, os.ErrNotExist
	}
	var list []ipvs.DestinationExtended
	for d := range maps.Values(found.destinations) {
		list = append(list, ipvs.DestinationExtended{Destination: d})
	}
	return list, nil
}

// destination finds the service, and the destination's key in it.
func (f *fake) destination(s ipvs.Service, d ipvs.Destination) (*fakeService, netip.AddrPort, error) {
	found := f.services[idOf(s)]
	if found == nil {
		return nil, netip.AddrPort{}, syscall.ESRCH
	}
	return found, netip.AddrPortFrom(d.Address, d.Port), nil
}

func (f *fake) createDestination(s ipvs.Service, d ipvs.Destination) error {
	found, key, err := f.destination(s, d)
	if err != nil {
		return err
	}
	if s.Family != d.Family && d.FwdMethod != ipvs.Tunnel || d.Address.IsMulticast() {
		return syscall.EINVAL
	}
	if _, ok := found.destinations[key]; ok {
		return syscall.EEXIST
	}
	found.destinations[key] = d
	return nil
}

func (f *fake) updateDestination(s ipvs.Service, d ipvs.Destination) error {
	found, key, err := f.destination(s, d)
	if err != nil {
		return err
	}
	if _, ok := found.destinations[key]; !ok {
		return syscall.ENOENT
	}
	found.destinations[key] = d
	return nil
}

func (f *fake) removeDestination(s ipvs.Service, d ipvs.Destination) error {
	found, key, err := f.destination(s, d)
	if err != nil {
		return err
	}
	if _, ok := found.destinations[key]; !ok {
		return syscall.ENOENT
	}
	delete(found.destinations, key)
	return nil
}
