package userspace

import (
	"hash/fnv"
	"math"
	"net/netip"
)

// pick returns one of the candidates, of whom there is at least one and none
// has weight 0, by the pool's scheduler.
func (p *pool) pick(candidates []*member, client netip.Addr) *member {
	switch p.settings.Scheduler {
	case "rr":
		return candidates[p.turn%len(candidates)]
	case "lc":
		return p.leastConnections(candidates, func(*member) int { return 1 })
	case "wlc":
		return p.leastConnections(candidates, func(m *member) int { return m.Weight })
	case "sh", "mh":
		return hashed(candidates, client)
	}
	return smooth(candidates)
}

// smooth is weighted round robin that spreads the turns of a heavy member
// evenly: everybody earns their weight, the richest serves and pays the sum.
func smooth(candidates []*member) *member {
	best, sum := candidates[0], 0
	for _, m := range candidates {
		m.credit += m.Weight
		sum += m.Weight
		if m.credit > best.credit {
			best = m
		}
	}
	best.credit -= sum
	return best
}

// leastConnections picks the least number of open connections per weight, and
// among equals whoever comes next.
func (p *pool) leastConnections(candidates []*member, weight func(*member) int) *member {
	var best *member
	var least, share int
	for i := range candidates {
		m := candidates[(p.turn+i)%len(candidates)]
		open, w := p.ledger.count(p.id, m.Addr), weight(m)
		if best == nil || open*share < least*w {
			best, least, share = m, open, w
		}
	}
	return best
}

// hashed is weighted rendezvous hashing: a client stays with its destination as
// long as that is there, whatever becomes of the others, and all balancers
// agree on it.
func hashed(candidates []*member, client netip.Addr) *member {
	var best *member
	highest := math.Inf(-1)
	for _, m := range candidates {
		if s := score(client, m); best == nil || s > highest {
			best, highest = m, s
		}
	}
	return best
}

// score is -weight / ln(u) with u uniform in (0, 1).
func score(client netip.Addr, m *member) float64 {
	h := fnv.New64a()
	// A hash cannot fail, and these addresses neither.
	a, _ := client.MarshalBinary()
	h.Write(a)
	b, _ := m.Addr.MarshalBinary()
	h.Write(b)
	u := (float64(mix(h.Sum64())>>11) + 0.5) / (1 << 53)
	return -float64(m.Weight) / math.Log(u)
}

// mix spreads the last bytes over all bits, which FNV alone does not
// (the finalizer of MurmurHash3).
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
