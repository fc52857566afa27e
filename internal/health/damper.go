package health

import "github.com/sluice-lb/sluice/internal/lb"

// damper holds a change of mind back until enough results in a row ask for it.
// The first result counts at once: there is no mind to change. One that says
// unknown is this machine's trouble: it shows, and counts for neither side.
type damper struct {
	rise, fall int
	settled    result // its state is unknown before the first result
	streak     int    // results in a row that say otherwise
}

// take returns what to believe after r.
func (d *damper) take(r result) result {
	switch {
	case r.state == lb.Unknown:
		return r
	case d.settled.state != lb.Unknown && r.state != d.settled.state:
		if d.streak++; d.streak < d.needed(r.state) {
			return d.settled
		}
	}
	d.settled, d.streak = r, 0
	return r
}

func (d *damper) needed(s lb.State) int {
	if s == lb.Up {
		return d.rise
	}
	return d.fall
}
