// Package bgp is a thin speaker over GoBGP: hand it the whole set of routes
// that should be announced, and it announces exactly those.
package bgp

import "net/netip"

// Route is one announced prefix.
type Route struct {
	Prefix netip.Prefix
	MED    uint32
}
