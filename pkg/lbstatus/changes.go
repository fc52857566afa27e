package lbstatus

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Change is one thing that was different a moment before. Served as JSON at
// /v1/changes.
type Change struct {
	At time.Time `json:"at"`
	// Pool is empty for what concerns the whole balancer: a BGP session.
	Pool string `json:"pool,omitempty"`
	// Host is the server, or the router of a session; empty for what concerns
	// the whole pool.
	Host string `json:"host,omitempty"`
	// Others is how many more servers of the pool changed in the same way at
	// the same moment.
	Others int `json:"others,omitempty"`
	// What changed: of a server "server", "enabled", "weight", "address", "up",
	// "pooled" or "held"; of a pool "pool", "servers", "announced", "threshold",
	// "source" or "table"; of a router "session".
	What string `json:"what"`
	From string `json:"from"`
	To   string `json:"to"`
	// Why is empty where nothing is known but the change itself.
	Why string `json:"why,omitempty"`
}

// KeptChanges is how many changes a Board remembers.
const KeptChanges = 1000

// ring holds the last changes.
type ring struct {
	kept []Change
	next int // where the next one goes once the ring is full
}

func (r *ring) add(changes ...Change) {
	for _, c := range changes {
		if len(r.kept) < KeptChanges {
			r.kept = append(r.kept, c)
			continue
		}
		r.kept[r.next] = c
		r.next = (r.next + 1) % KeptChanges
	}
}

// latest returns a copy, the latest first.
func (r *ring) latest() []Change {
	list := slices.Concat(r.kept[r.next:], r.kept[:r.next])
	slices.Reverse(list)
	return list
}

// changes says in words what is different between two reports on a pool.
// Revisions, counts and signs of life are not: they move all the time.
func changes(was, is Report, now time.Time) []Change {
	d := newDiffer(is.Pool, now)
	if was.Seen == 0 && len(was.Members) == 0 && len(is.Members) > 0 {
		d.note("", "servers", "none heard of", strconv.Itoa(len(is.Members)), is.Source.URL)
	} else {
		d.members(was.Members, is.Members)
	}
	d.note("", "announced", announced(was), announced(is), "")
	if was.VIP != "" {
		d.note("", "threshold", fmt.Sprint(was.Threshold), fmt.Sprint(is.Threshold), "")
	}
	d.note("", "source", sourceWord(was), sourceWord(is), is.Source.Error)
	d.note("", "table", tableWord(was), tableWord(is), is.Error)
	return d.list
}

// sessionChanges says what is different about the routers.
func sessionChanges(was, is BGP, now time.Time) []Change {
	d := newDiffer("", now)
	before := make(map[string]Peer, len(was.Peers))
	for _, p := range was.Peers {
		before[p.Address] = p
	}
	for _, p := range is.Peers {
		if old, known := before[p.Address]; known && old.Established() != p.Established() {
			why := ""
			if !p.Established() {
				why = p.Reason
			}
			d.note(p.Address, "session", old.Session, p.Session, why)
		}
	}
	return d.list
}

// differ collects the changes of one moment.
type differ struct {
	now  time.Time
	pool string
	list []Change
	// alike has the place of the entry for servers that change in this way.
	alike map[Change]int
}

func newDiffer(pool string, now time.Time) differ {
	return differ{now: now.UTC().Truncate(time.Millisecond), pool: pool, alike: map[Change]int{}}
}

// note adds a change, if it is one. Servers that change alike are one entry:
// when a whole pool goes, that should not push everything else out of memory.
func (d *differ) note(host, what, from, to, why string) {
	if from == to {
		return
	}
	c := Change{At: d.now, Pool: d.pool, What: what, From: from, To: to, Why: why}
	if i, ok := d.alike[c]; ok && host != "" {
		d.list[i].Others++
		return
	}
	if host != "" {
		d.alike[c] = len(d.list)
	}
	c.Host = host
	d.list = append(d.list, c)
}

// members compares two lists that are both sorted by host.
func (d *differ) members(was, is []Member) {
	for len(was) > 0 || len(is) > 0 {
		switch {
		case len(is) == 0 || len(was) > 0 && was[0].Host < is[0].Host:
			d.note(was[0].Host, "server", "in the pool", "gone", "")
			was = was[1:]
		case len(was) == 0 || is[0].Host < was[0].Host:
			d.note(is[0].Host, "server", "absent", "in the pool", "")
			is = is[1:]
		default:
			d.member(was[0], is[0])
			was, is = was[1:], is[1:]
		}
	}
}

func (d *differ) member(was, is Member) {
	d.note(is.Host, "enabled", enabledWord(was), enabledWord(is), "")
	d.note(is.Host, "weight", strconv.Itoa(was.Weight), strconv.Itoa(is.Weight), "")
	d.note(is.Host, "address", addressWord(was), addressWord(is), "")
	if was.Up != UpUnknown || is.Up != UpYes { // a first check that passes is no news
		d.note(is.Host, "up", string(was.Up), string(is.Up), is.Health)
	}
	d.note(is.Host, "pooled", pooledWord(was), pooledWord(is), is.Reason)
	d.note(is.Host, "held", heldWord(was), heldWord(is), is.Reason)
}

func enabledWord(m Member) string { return either(m.Enabled, "enabled", "disabled") }
func pooledWord(m Member) string  { return either(m.Pooled, "pooled", "not pooled") }
func heldWord(m Member) string    { return either(m.Held, "held", "not held") }
func addressWord(m Member) string { return either(m.Address != "", m.Address, "not resolved") }
func announced(r Report) string   { return either(r.Announced, "announced", "not announced") }
func tableWord(r Report) string   { return either(r.Error == "", "as decided", "in trouble") }

func sourceWord(r Report) string {
	if r.Source.Heard.IsZero() && r.Source.Error == "" {
		return "not heard yet"
	}
	return either(r.Source.Stale, "stale", "fresh")
}

func either(yes bool, is, isNot string) string {
	if yes {
		return is
	}
	return isNot
}
