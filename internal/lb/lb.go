// Package lb is the balancer's vocabulary: what a service is, who could serve
// it, and what the health checks think of them. It holds values only: no I/O,
// no clock, no decisions.
package lb

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Service is one load-balanced service as the configuration declares it: one
// section of pybal.conf. It never changes while it is in force; a reload makes
// a new one.
type Service struct {
	// Name is the section's name; it is the pool's name everywhere a person
	// or a program reads it (status, metrics, logs).
	Name string
	// Protocol is "tcp" or "udp".
	Protocol string
	// VIP is the virtual address and port. Backends are reached on the same
	// port, as in PyBal.
	VIP netip.AddrPort
	// Scheduler is the kernel's name of the scheduling algorithm ("wrr").
	Scheduler string
	// OnePacket asks for one-packet scheduling (UDP only).
	OnePacket bool
	// Tunnel reaches the servers through IP-in-IP instead of directly.
	Tunnel bool
	// Threshold is the share of all listed backends, 0 to 1, that must stay
	// healthy for another one to be taken out.
	Threshold float64
	// Admin says whether the threshold covers administrative depools too.
	Admin AdminDepool
	// Source is the URL the pool is declared at ("etcd://host:port/key/").
	Source string
	// LocalRevisions is true where the source counts for itself: the revisions
	// of its pools then say nothing about writes to a store.
	LocalRevisions bool
	// Monitors are the health checks, in the order configured. A service
	// without monitors has backends that are always up.
	Monitors []Monitor
	// LowWatermark is how many servers at least must serve and not be down for
	// the service's address to be announced; 0 asks for none.
	LowWatermark int
	// SlowStart is how long a server that comes (back) takes to its full weight;
	// 0 is no time.
	SlowStart time.Duration
	// Announce is false where the service's address must not be announced.
	Announce bool
	// MED is the announced multi-exit discriminator.
	MED uint32
}

// AdminDepool says what happens to pooled=no when obeying it would leave a
// pool under its threshold.
type AdminDepool uint8

const (
	// GuardDepool keeps the server serving and says so: `no` asks.
	GuardDepool AdminDepool = iota
	// HonourDepool takes it out all the same, as PyBal 1.15 does.
	HonourDepool
)

// Monitor is one health check as configured.
type Monitor struct {
	// Kind is PyBal's class name: "IdleConnection", "ProxyFetch".
	Kind string
	// Options are the monitor's own options, lower case and without the
	// prefix: proxyfetch.url becomes "url". A plain value is a list of one.
	Options map[string][]string
}

// Pool is everything a source says about one service: complete, never a delta.
type Pool struct {
	// Service is the name of the Service this pool belongs to.
	Service string
	// Revision is the store's revision the pool is current at.
	Revision int64
	// Backends are sorted by host. Inactive servers are absent.
	Backends []Backend
}

// Backend is one server that could serve.
type Backend struct {
	// Host is the server's name, as the operator wrote it.
	Host string
	// Addr is where the name leads, of the VIP's family; the zero Addr while
	// the name has not been resolved.
	Addr netip.Addr
	// Weight is the scheduler's weight; 0 means no new connections.
	Weight int
	// Enabled is false for pooled=no.
	Enabled bool
	// Revision is the store's revision at which this server was last edited.
	Revision int64
}

// Backend returns the named server of the pool.
func (p Pool) Backend(host string) (Backend, bool) {
	i, ok := slices.BinarySearchFunc(p.Backends, host, func(b Backend, host string) int {
		return strings.Compare(b.Host, host)
	})
	if !ok {
		return Backend{}, false
	}
	return p.Backends[i], true
}

// State is what the health checks make of a server.
type State uint8

// The zero State is Unknown: a server nobody has probed yet is not down.
const (
	Unknown State = iota
	Up
	Down
)

// String returns "unknown", "up" or "down".
func (s State) String() string {
	switch s {
	case Unknown:
		return "unknown"
	case Up:
		return "up"
	case Down:
		return "down"
	}
	return "invalid"
}

// Verdict is the judgement over one server: all its checks taken together.
type Verdict struct {
	State State
	// Partial is true when the server is not up but some check passes.
	Partial bool
	// Reason says why in one line; empty for a server that is simply up.
	Reason string
}

// Verdicts are the judgements over the servers of one service, by host. A
// missing host is Unknown.
type Verdicts map[string]Verdict

// Heard is what a source says about one service. Exactly one of three: there
// is a new pool (Pool), all is quiet and the last pool is complete up to
// Revision (neither), or the source is in trouble (Err) and the last pool is
// the best there is.
type Heard struct {
	Service  string
	Pool     *Pool
	Revision int64
	// At is when the source said so; the zero Time means just now.
	At time.Time
	// Err is the trouble in one line. Beside a Pool it names what in the
	// source could not be used; the pool is good without it.
	Err string
}
