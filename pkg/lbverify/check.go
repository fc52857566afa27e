package lbverify

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// Check judges an expectation by a balancer's report. Balancer is left empty.
//
//   - A report on another pool, on nothing yet, or from before the revision
//     leaves it Unknown.
//   - So does a report whose revisions are not a store's, if a revision is asked
//     for: the file behind it may be older than the write even where it happens
//     to say what was wanted, and the write between may still be on its way.
//   - Out is confirmed when the server is listed as neither enabled nor
//     pooled, or not listed at all.
//   - In is confirmed when it is enabled, up and pooled.
//   - Gone is confirmed when it is not listed.
func Check(r lbstatus.Report, e Expectation) Finding {
	f := Finding{Expectation: e}
	m, listed := r.Member(e.Host)
	f.Got = "absent"
	if listed {
		f.Got = m.Words()
	}
	switch {
	case r.Pool != e.Pool:
		f.Got, f.Reason = "", fmt.Sprintf("answer is about pool %q", r.Pool)
	case r.Applied <= 0:
		f.Got, f.Reason = "", "balancer has applied nothing yet"+because(r)
	case e.Revision > 0 && !ofStore(r):
		f.Reason = fmt.Sprintf("balancer reads the pool from %s and cannot tell whether revision %d has reached it", r.Source.URL, e.Revision)
	case r.Applied < e.Revision:
		f.Reason = fmt.Sprintf("applied %d, want %d%s", r.Applied, e.Revision, because(r))
	case e.Want == Gone && !listed,
		e.Want == Out && (!listed || !m.Enabled && !m.Pooled),
		e.Want == In && listed && m.Enabled && m.Pooled && m.Up == lbstatus.UpYes:
		f.Outcome = Confirmed
	case e.Want == Gone:
		f.Outcome, f.Reason = Refuted, "the pool still lists it"
	default:
		f.Outcome, f.Reason = Refuted, refutation(r, m, listed)
	}
	return f
}

// ofStore tells whether the report's revisions are a store's.
func ofStore(r lbstatus.Report) bool {
	return r.Source.Revisions == "" || r.Source.Revisions == lbstatus.StoreRevisions
}

// because adds the balancer's own excuse for being behind.
func because(r lbstatus.Report) string {
	switch {
	case r.Error != "":
		return ": " + r.Error
	case r.Source.Error != "":
		return ": " + r.Source.Error
	case r.Source.Stale:
		return ": its source is stale"
	}
	return ""
}

// refutation is the balancer's reason for a state that is not the wanted one.
func refutation(r lbstatus.Report, m lbstatus.Member, listed bool) string {
	if !listed {
		return "the pool does not list it"
	}
	parts := []string{m.Reason, m.Health, r.Error}
	if strings.Contains(m.Reason, m.Health) {
		parts[1] = ""
	}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}

// CheckPyBal judges an expectation by one server's state in PyBal's dialect,
// which knows no revisions.
func CheckPyBal(s lbstatus.ServerState, e Expectation) Finding {
	f := Finding{Expectation: e, Got: s.String()}
	switch {
	case e.Want == Out && !s.Enabled && !s.Pooled, e.Want == In && s.Enabled && s.Up && s.Pooled:
		f.Outcome = Confirmed
	default:
		f.Outcome = Refuted
	}
	return f
}
