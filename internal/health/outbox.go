package health

import "github.com/sluice-lb/sluice/internal/lb"

// outbox keeps the verdicts a reader has not been told yet: one slot per
// server, the newest verdict wins, servers in the order they changed.
type outbox struct {
	slots map[key]*slot
	queue []key
}

type slot struct {
	told, current lb.Verdict
	queued        bool
}

// put sets the verdict a reader should end up with.
func (o *outbox) put(k key, v lb.Verdict) {
	s := o.slots[k]
	if s == nil {
		s = &slot{}
		o.slots[k] = s
	}
	s.current = v
	if !s.queued && s.current != s.told {
		s.queued = true
		o.queue = append(o.queue, k)
	}
	o.forget(k, s)
}

// head returns the next event that is still news.
func (o *outbox) head() (Event, bool) {
	for len(o.queue) > 0 {
		k := o.queue[0]
		s := o.slots[k]
		if s.current != s.told {
			return Event{k.service, k.host, s.current}, true
		}
		o.pop(k, s)
	}
	return Event{}, false
}

// sent notes that the event of the last head was delivered.
func (o *outbox) sent() {
	k := o.queue[0]
	s := o.slots[k]
	s.told = s.current
	o.pop(k, s)
}

func (o *outbox) pop(k key, s *slot) {
	o.queue = o.queue[1:]
	s.queued = false
	o.forget(k, s)
}

// forget drops a slot that says what an absent one says.
func (o *outbox) forget(k key, s *slot) {
	if !s.queued && s.current == (lb.Verdict{}) && s.told == s.current {
		delete(o.slots, k)
	}
}
