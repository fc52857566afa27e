package userspace

import (
	"net/netip"
	"slices"
	"sync"

	"github.com/sluice-lb/sluice/internal/dataplane"
)

// pool is who could serve one service now, and whose turn it is.
type pool struct {
	id     dataplane.ServiceID
	ledger *ledger

	mu       sync.Mutex
	settings dataplane.Service // without destinations
	members  []*member         // sorted by address
	turn     int               // counts what has been picked
}

// member is one destination.
type member struct {
	dataplane.Destination
	credit int // of smooth weighted round robin
}

func newPool(settings dataplane.Service, l *ledger) *pool {
	p := &pool{id: settings.ID, ledger: l}
	p.set(settings)
	return p
}

// service returns the pool as it stands in the table.
func (p *pool) service() dataplane.Service {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.settings
	for _, m := range p.members {
		s.Destinations = append(s.Destinations, m.Destination)
	}
	return s
}

func (p *pool) set(settings dataplane.Service) {
	p.mu.Lock()
	defer p.mu.Unlock()
	settings.Destinations = nil
	p.settings = settings
}

func (p *pool) onePacket() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.settings.OnePacket
}

// add puts in a destination, or sets the one that is there.
func (p *pool) add(d dataplane.Destination) {
	if p.edit(d) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i, _ := p.search(d.Addr)
	p.members = slices.Insert(p.members, i, &member{Destination: d})
	p.settle()
}

// edit sets a destination, and returns false if it is not there.
func (p *pool) edit(d dataplane.Destination) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i, found := p.search(d.Addr)
	if found {
		p.members[i].Destination = d
		p.settle()
	}
	return found
}

func (p *pool) remove(addr netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i, found := p.search(addr); found {
		p.members = slices.Delete(p.members, i, i+1)
		p.settle()
	}
}

// settle forgets the credits, which mean nothing between other weights: they
// could keep a member waiting for as many turns as its weight used to be.
func (p *pool) settle() {
	for _, m := range p.members {
		m.credit = 0
	}
}

func (p *pool) search(addr netip.AddrPort) (int, bool) {
	return slices.BinarySearchFunc(p.members, addr, func(m *member, addr netip.AddrPort) int { return m.Addr.Compare(addr) })
}

// take picks a destination for a client's new connection and counts it as
// open; give ends that. Destinations in tried are passed over. False means that
// nobody is left who takes connections.
func (p *pool) take(client netip.Addr, tried []netip.AddrPort) (netip.AddrPort, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var candidates []*member
	for _, m := range p.members {
		if m.Weight > 0 && !slices.Contains(tried, m.Addr) {
			candidates = append(candidates, m)
		}
	}
	if len(candidates) == 0 {
		return netip.AddrPort{}, false
	}
	m := p.pick(candidates, client.Unmap())
	p.turn++
	p.ledger.add(p.id, m.Addr, 1)
	return m.Addr, true
}

func (p *pool) give(dest netip.AddrPort) { p.ledger.add(p.id, dest, -1) }
