// Package coordinator decides who serves. It is a pure function of what was
// said (the pool), what was judged (the verdicts) and what was decided before;
// it reaches no network, clock, file or log.
package coordinator

import "github.com/sluice-lb/sluice/internal/lb"

// Assignment is the decision over one service.
type Assignment struct {
	Service string
	// Revision is that of the pool this was decided from.
	Revision int64
	// Members are all servers of the pool, sorted by host.
	Members []Member
	// CanDepool tells whether one more failing server could be taken out:
	// PyBal's up∧enabled ≥ total × threshold, over the present state.
	CanDepool bool
}

// Member is the decision over one server.
type Member struct {
	lb.Backend
	Verdict lb.Verdict
	// Serving is true when the server belongs in the table.
	Serving bool
	// Held is true when the server serves only because the threshold
	// forbids taking it out: it is down, or disabled.
	Held bool
	// Reason says in a few words why Serving is what it is.
	Reason string
}

// Reasons a Member can have. Down members that do not serve carry the
// verdict's own reason behind ReasonDown.
const (
	ReasonUp         = "up"
	ReasonUnknown    = "unknown, kept"
	ReasonUnproven   = "waiting for first check"
	ReasonHeld       = "held by threshold"
	ReasonDisabled   = "disabled"
	ReasonDown       = "down"
	ReasonUnresolved = "name not resolved"
)
