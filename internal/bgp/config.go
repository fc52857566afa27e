package bgp

import (
	"net/netip"
	"time"
)

// Config is what a Speaker needs to know about itself and its neighbours.
type Config struct {
	// LocalASN is our autonomous system.
	LocalASN uint32
	// RouterID is our BGP identifier, an IPv4 address.
	RouterID netip.Addr
	// LocalPort is where to listen for sessions, -1 for nowhere.
	LocalPort int32
	// ListenAddrs are the addresses to listen on; empty means all.
	ListenAddrs []netip.Addr
	// Peers are the routers to hold a session with.
	Peers []Peer
	// ASPath is the AS_PATH routes are sent with, one AS_SEQUENCE. Empty
	// means LocalASN alone, and nothing towards a peer of the same system.
	ASPath []uint32
	// NextHop4 and NextHop6 are the next hops of IPv4 and IPv6 routes. A
	// route whose family has none is not announced.
	NextHop4, NextHop6 netip.Addr
	// DrainWait is how long routes stay announced with the
	// GRACEFUL_SHUTDOWN community (RFC 8326) when the speaker stops, before
	// they are withdrawn. Zero withdraws at once.
	DrainWait time.Duration
	// Retry is how long to wait between attempts to connect. Zero means
	// five seconds.
	Retry time.Duration
}

// Peer is one router.
type Peer struct {
	Addr netip.Addr
	// ASN is the peer's autonomous system; 0 accepts any, as PyBal does.
	ASN uint32
	// Port is the port to connect to; 0 means 179.
	Port uint16
}
