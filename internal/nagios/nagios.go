// Package nagios is the judgement of the checks that monitoring runs as plugins: what
// an answer of a balancer means in Nagios' four words. It asks nobody.
package nagios

import (
	"fmt"
	"strings"
)

// Status is one of Nagios' words, and the exit code that says it.
type Status int

// The four there are.
const (
	OK Status = iota
	Warning
	Critical
	Unknown
)

// Result is what a check says.
type Result struct {
	Status Status
	// Text is for people; its first line is what monitoring shows everywhere.
	Text string
	// Perf is for graphs.
	Perf []Perf
}

// Perf is one number a check comes by.
type Perf struct {
	Label string
	Value int
	// Range is what follows the number, as in ";;2:;0;2"; it may be empty.
	Range string
}

// String is the result as a plugin prints it: the first line, the numbers behind
// a bar, the other lines. Bars in the text itself are written as something else.
func (r Result) String() string {
	text := strings.ReplaceAll(strings.TrimSpace(r.Text), "|", "¦")
	first, rest, more := strings.Cut(text, "\n")
	var b strings.Builder
	b.WriteString(first)
	for i, p := range r.Perf {
		if i == 0 {
			b.WriteString(" |")
		}
		fmt.Fprintf(&b, " %s=%d%s", p.Label, p.Value, p.Range)
	}
	if more {
		b.WriteString("\n" + rest)
	}
	return b.String()
}

// CannotTell is the result of a check that came to none.
func CannotTell(err error) Result {
	return Result{Status: Unknown, Text: "UNKNOWN: " + strings.Join(strings.Fields(err.Error()), " ")}
}

// Alerts judges what /alerts says.
func Alerts(body string) Result {
	body = strings.TrimSpace(body)
	switch {
	case strings.HasPrefix(body, "OK"):
		return Result{Status: OK, Text: "All pools are healthy"}
	case strings.HasPrefix(body, "WARNING"):
		return Result{Status: Warning, Text: body}
	case body == "":
		return NoAlerts("empty body")
	}
	return Result{Status: Critical, Text: body}
}

// NoAlerts is the result where /alerts could not be had: a balancer that does not
// answer is as bad as one with an alert.
func NoAlerts(why string) Result {
	return Result{Status: Critical, Text: "Bad Response from pybal: " + why}
}

// Session is one BGP session.
type Session struct {
	Peer        string
	Established bool
}

// Sessions judges BGP sessions.
func Sessions(enabled bool, sessions []Session) Result {
	if !enabled {
		return Result{Status: OK, Text: "BGP not enabled"}
	}
	if len(sessions) == 0 {
		return Result{Status: Unknown, Text: "UNKNOWN: BGP is enabled, and there is no session"}
	}
	var missing []string
	for _, s := range sessions {
		if !s.Established {
			missing = append(missing, s.Peer)
		}
	}
	r := Result{Status: OK, Text: "BGP sessions established"}
	if len(missing) > 0 {
		r = Result{Status: Critical, Text: "BGP missing sessions: [" + strings.Join(missing, ", ") + "]"}
	}
	all := len(sessions)
	r.Perf = []Perf{{"established", all - len(missing), fmt.Sprintf(";;%d:;0;%d", all, all)}}
	return r
}
