package userspace

import (
	"maps"
	"net/netip"
	"sync"

	"github.com/sluice-lb/sluice/internal/dataplane"
)

// ledger counts open connections. It outlives pools, as connections do.
type ledger struct {
	mu      sync.Mutex
	changed sync.Cond
	open    map[dataplane.ServiceID]map[netip.AddrPort]int
}

func newLedger() *ledger {
	l := &ledger{open: make(map[dataplane.ServiceID]map[netip.AddrPort]int)}
	l.changed.L = &l.mu
	return l
}

// add changes a count by n; a count of none is not kept.
func (l *ledger) add(id dataplane.ServiceID, dest netip.AddrPort, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := l.open[id]
	if counts == nil {
		counts = make(map[netip.AddrPort]int)
		l.open[id] = counts
	}
	counts[dest] += n
	if counts[dest] == 0 {
		delete(counts, dest)
	}
	if len(counts) == 0 {
		delete(l.open, id)
	}
	l.changed.Broadcast()
}

func (l *ledger) count(id dataplane.ServiceID, dest netip.AddrPort) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open[id][dest]
}

func (l *ledger) snapshot() map[dataplane.ServiceID]map[netip.AddrPort]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	open := make(map[dataplane.ServiceID]map[netip.AddrPort]int, len(l.open))
	for id, counts := range l.open {
		open[id] = maps.Clone(counts)
	}
	return open
}
