package source

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-lb/sluice/internal/lb"
)

// How often names are looked up: unresolved ones soon again, resolved ones
// from time to time. An address once known is kept while DNS is away.
const (
	retryAfter   = 5 * time.Second
	refreshAfter = time.Minute
)

// Bounds on the queries of one service.
const (
	lookupTimeout = 5 * time.Second
	lookupsAtOnce = 16
)

// Hosts maps names to addresses ahead of DNS, as /etc/hosts does.
type Hosts map[string][]netip.Addr

// ParseHosts reads the form of /etc/hosts: an address, then its names; "#"
// begins a comment.
func ParseHosts(r io.Reader) (Hosts, error) {
	hosts := Hosts{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		addr, err := netip.ParseAddr(fields[0])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		for _, name := range fields[1:] {
			name = strings.ToLower(name)
			hosts[name] = append(hosts[name], addr)
		}
	}
	return hosts, lines.Err()
}

// names knows the addresses of one service's servers, in one family.
type names struct {
	hosts  Hosts
	v6     bool
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
	poke   chan struct{} // there is a name nobody has looked up

	mu    sync.Mutex
	known map[string]netip.Addr // zero: wanted, not resolved yet
	// kept are addresses from before the start: they serve until DNS speaks.
	kept map[string]netip.Addr
}

// recall takes addresses that stand in where DNS is silent.
func (n *names) recall(addresses map[string]netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.kept = addresses
}

func newNames(hosts Hosts, vip netip.Addr) *names {
	return &names{
		hosts: hosts, v6: vip.Is6(), lookup: net.DefaultResolver.LookupNetIP,
		poke: make(chan struct{}, 1), known: map[string]netip.Addr{},
	}
}

// fill sets the address of every backend whose name needs no query or has been
// resolved before, asks for the others to be looked up, and forgets names that
// are not among the backends.
func (n *names) fill(backends []lb.Backend) {
	n.mu.Lock()
	defer n.mu.Unlock()
	known := make(map[string]netip.Addr, len(backends))
	for i := range backends {
		b := &backends[i]
		var fixed bool
		if b.Addr, fixed = n.fixed(b.Host); fixed {
			continue
		}
		var asked bool
		if b.Addr, asked = n.known[b.Host]; !asked {
			select {
			case n.poke <- struct{}{}:
			default:
			}
		}
		known[b.Host] = b.Addr
		if kept := n.kept[b.Host]; !b.Addr.IsValid() && kept.Is6() == n.v6 {
			b.Addr = kept
		}
	}
	n.known = known
}

// fixed returns the address of an IP literal or of a name in the hosts file. A
// literal of the other family has none, and needs no query to know that.
func (n *names) fixed(host string) (addr netip.Addr, known bool) {
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Is6() != n.v6 {
			addr = netip.Addr{}
		}
		return addr, true
	}
	return n.pick(n.hosts[strings.ToLower(host)], netip.Addr{})
}

// pick chooses one address of the family: the present one if it is still
// among them, else the lowest.
func (n *names) pick(addrs []netip.Addr, present netip.Addr) (best netip.Addr, ok bool) {
	if slices.Contains(addrs, present) {
		return present, true
	}
	for _, a := range addrs {
		a = a.Unmap()
		if a.Is6() == n.v6 && (!ok || a.Less(best)) {
			best, ok = a, true
		}
	}
	return best, ok
}

func (n *names) missing() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, addr := range n.known {
		if !addr.IsValid() {
			return true
		}
	}
	return false
}

// lookUp queries every name, several at once so that a slow one delays no
// other, and calls learned whenever an address changed. A name that cannot be
// resolved keeps the address it had.
func (n *names) lookUp(ctx context.Context, learned func()) {
	network := "ip4"
	if n.v6 {
		network = "ip6"
	}
	var group errgroup.Group
	group.SetLimit(lookupsAtOnce)
	for _, host := range n.wanted() {
		group.Go(func() error {
			one, cancel := context.WithTimeout(ctx, lookupTimeout)
			defer cancel()
			if addrs, err := n.lookup(one, network, host); err == nil && n.learn(host, addrs) {
				learned()
			}
			return nil
		})
	}
	_ = group.Wait() // none returns an error
}

func (n *names) wanted() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Keys(n.known))
}

func (n *names) learn(host string, addrs []netip.Addr) (changed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	present, wanted := n.known[host]
	prefer := present
	if !prefer.IsValid() {
		prefer = n.kept[host]
	}
	addr, ok := n.pick(addrs, prefer)
	if !wanted || !ok || addr == present {
		return false
	}
	n.known[host] = addr
	return true
}
