package lbstatus

import (
	"reflect"
	"time"
)

// BGP is how a balancer stands with its routers. Served as JSON at /v1/bgp.
type BGP struct {
	Enabled bool `json:"enabled"`
	// LocalASN is the balancer's own AS number.
	LocalASN uint32 `json:"local_asn,omitempty"`
	// Peers are the sessions, in the order of the configuration.
	Peers []Peer `json:"peers"`
	// Announced are the prefixes every established session is told,
	// "192.0.2.1/32".
	Announced []string `json:"announced"`
}

// Peer is one BGP session.
type Peer struct {
	Address string `json:"address"`
	// ASN is the AS number wanted of the peer; 0 where any will do.
	ASN uint32 `json:"asn,omitempty"`
	// Session is the state in RFC 4271's words: "idle", "connect", "active",
	// "opensent", "openconfirm" or "established".
	Session string `json:"session"`
	// Since is when that state was entered.
	Since time.Time `json:"since"`
	// Reason is why the session went down last; empty if it never did.
	Reason string `json:"reason,omitempty"`
}

// Established tells whether routes reach the peer.
func (p Peer) Established() bool { return p.Session == "established" }

// PublishBGP replaces what is known about the routers.
func (b *Board) PublishBGP(now BGP) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if reflect.DeepEqual(b.bgp, now) {
		return
	}
	b.recently.add(sessionChanges(b.bgp, now, time.Now())...)
	b.bgp, b.bgpAt = now, b.next()
}

// BGP returns how the balancer stands with its routers.
func (b *Board) BGP() BGP {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bgp.complete()
}

// complete has lists where there is nothing: readers tell "none" from "not said".
func (b BGP) complete() BGP {
	if b.Peers == nil {
		b.Peers = []Peer{}
	}
	if b.Announced == nil {
		b.Announced = []string{}
	}
	return b
}
