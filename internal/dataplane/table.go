// Package dataplane says what a forwarding table is, how two of them differ,
// and how the table a plane holds is brought to the one that is wanted.
package dataplane

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// Protocol is the transport protocol of a service.
type Protocol string

// Protocols a plane may carry.
const (
	TCP  Protocol = "tcp"
	UDP  Protocol = "udp"
	SCTP Protocol = "sctp"
)

// ServiceID names a virtual service: what the kernel matches a packet against.
type ServiceID struct {
	Protocol Protocol
	VIP      netip.AddrPort
}

// String returns "tcp 192.0.2.1:80".
func (id ServiceID) String() string { return fmt.Sprintf("%s %s", id.Protocol, id.VIP) }

// Compare orders by protocol, then address and port.
func (id ServiceID) Compare(other ServiceID) int {
	return cmp.Or(cmp.Compare(id.Protocol, other.Protocol), id.VIP.Compare(other.VIP))
}

// Forward is how packets reach a destination.
type Forward string

// Forwarding methods. The userspace plane proxies whatever the method.
const (
	Direct     Forward = "direct" // PyBal's and ipvsadm's default
	Tunnel     Forward = "tunnel"
	Masquerade Forward = "masquerade"
)

// Destination is one real server of a service.
type Destination struct {
	Addr    netip.AddrPort
	Weight  int
	Forward Forward
}

// Service is one virtual service with its destinations.
type Service struct {
	ID        ServiceID
	Scheduler string
	OnePacket bool
	// Destinations are sorted by address.
	Destinations []Destination
}

// Equal compares two services whole.
func (s Service) Equal(other Service) bool {
	return s.sameSettings(other) && sameDestinations(s.Destinations, other.Destinations)
}

// sameDestinations compares two lists; two that share their memory, as those of
// a service that did not change do, are not looked through.
func sameDestinations(a, b []Destination) bool {
	if len(a) > 0 && len(a) == len(b) && &a[0] == &b[0] {
		return true
	}
	return slices.Equal(a, b)
}

// settings returns the service without its destinations.
func (s Service) settings() Service {
	s.Destinations = nil
	return s
}

func (s Service) sameSettings(other Service) bool {
	return s.ID == other.ID && s.Scheduler == other.Scheduler && s.OnePacket == other.OnePacket
}

// Table is a whole forwarding table, sorted by ServiceID. Make one with
// NewTable; nil is the empty table. A table is never written to once it is
// made, so that it can be handed around and share its parts with others.
type Table []Service

// NewTable sorts services and their destinations into a Table. It does not
// keep the slices it is given. A destination without a Forward is Direct. What
// a plane cannot hold twice, a service or the address of a destination, is kept
// once: as first given.
func NewTable(services ...Service) Table {
	t := make(Table, 0, len(services))
	for _, s := range services {
		s.Destinations = sorted(s.Destinations)
		t = append(t, s)
	}
	slices.SortStableFunc(t, func(a, b Service) int { return a.ID.Compare(b.ID) })
	return slices.CompactFunc(t, func(a, b Service) bool { return a.ID == b.ID })
}

func sorted(dests []Destination) []Destination {
	dests = slices.Clone(dests)
	for i := range dests {
		dests[i].Forward = cmp.Or(dests[i].Forward, Direct)
	}
	slices.SortStableFunc(dests, func(a, b Destination) int { return a.Addr.Compare(b.Addr) })
	return slices.CompactFunc(dests, func(a, b Destination) bool { return a.Addr == b.Addr })
}

// Find returns the service with that identity.
func (t Table) Find(id ServiceID) (Service, bool) {
	i, ok := t.search(id)
	if !ok {
		return Service{}, false
	}
	return t[i], true
}

func (t Table) search(id ServiceID) (int, bool) {
	return slices.BinarySearchFunc(t, id, func(s Service, id ServiceID) int { return s.ID.Compare(id) })
}

// Equal compares two tables whole.
func (t Table) Equal(other Table) bool { return slices.EqualFunc(t, other, Service.Equal) }
