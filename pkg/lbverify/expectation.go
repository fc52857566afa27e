// Package lbverify finds out whether load balancers really do what was written
// for them: it asks every one of them and judges the answers. Only a plain
// answer that says so, at the revision asked for or later, confirms anything.
package lbverify

import (
	"fmt"
	"slices"
	"strings"
)

// Want is what should have become of a server.
type Want uint8

const (
	// Out is a server that takes no traffic and is not meant to.
	Out Want = iota
	// In is a server that is meant to serve, is healthy, and does.
	In
	// Gone is a server that is not listed at all.
	Gone
)

// String returns the wanted state in PyBal's words, "*" for what does not
// matter.
func (w Want) String() string {
	switch w {
	case Out:
		return "disabled/*/not pooled"
	case In:
		return "enabled/up/pooled"
	case Gone:
		return "absent"
	}
	return fmt.Sprintf("want(%d)", uint8(w))
}

// Expectation is one thing that should be true at a balancer.
type Expectation struct {
	// Pool is the pool's name at the balancer, "web_80".
	Pool string
	Host string
	Want Want
	// Revision is the store's revision of the write that made it so. A
	// balancer that has not applied it cannot confirm.
	Revision int64
}

// Outcome is the judgement over one expectation at one balancer.
type Outcome uint8

// The zero Outcome is Unknown: nobody has said anything, or nothing usable.
const (
	Unknown Outcome = iota
	Confirmed
	Refuted
)

// String returns "unknown", "confirmed" or "refuted".
func (o Outcome) String() string {
	switch o {
	case Unknown:
		return "unknown"
	case Confirmed:
		return "confirmed"
	case Refuted:
		return "refuted"
	}
	return fmt.Sprintf("outcome(%d)", uint8(o))
}

// Finding is what came of one expectation at one balancer.
type Finding struct {
	// Balancer is the name of who was asked; empty when there was nobody.
	Balancer string
	Expectation
	Outcome Outcome
	// Got is the server's state as last heard, in PyBal's words; "absent" when
	// the pool does not list it; empty when nothing was heard.
	Got string
	// Reason says why the outcome is not Confirmed: the balancer's own reason
	// or what went wrong with asking it.
	Reason string
}

// String returns one line for an operator.
func (f Finding) String() string {
	name := f.Balancer
	if name == "" {
		name = "nobody"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s in %s %s: want %s", name, f.Host, f.Pool, f.Outcome, f.Want)
	if f.Got != "" {
		fmt.Fprintf(&b, ", got %s", f.Got)
	}
	if f.Reason != "" {
		fmt.Fprintf(&b, ": %s", f.Reason)
	}
	return b.String()
}

// UnverifiedError is the error of findings that do not confirm everything.
type UnverifiedError struct {
	// Findings are those that are not Confirmed; empty when nobody was asked.
	Findings []Finding
}

// Error lists every finding.
func (e *UnverifiedError) Error() string {
	if len(e.Findings) == 0 {
		return "not verified: no balancer was asked"
	}
	lines := make([]string, 0, len(e.Findings))
	for _, f := range e.Findings {
		lines = append(lines, f.String())
	}
	return "not verified: " + strings.Join(lines, "; ")
}

// All returns nil only if there is at least one finding and every one is
// Confirmed; otherwise an *UnverifiedError with those that are not.
func All(findings []Finding) error {
	open := slices.DeleteFunc(slices.Clone(findings), func(f Finding) bool { return f.Outcome == Confirmed })
	if len(findings) > 0 && len(open) == 0 {
		return nil
	}
	return &UnverifiedError{Findings: open}
}
