package lbstatus

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
)

// ServerState is one server in PyBal's dialect: exactly these four keys, as
// PyBal's other clients insist on.
type ServerState struct {
	Pooled  bool
	Enabled bool
	Up      bool
	Weight  int
}

// String returns "enabled/up/pooled" in PyBal's words. A partly healthy server
// cannot be told from a dead one in this form and is "down".
func (s ServerState) String() string { return words(s.Enabled, s.upWord(), s.Pooled) }

func (s ServerState) upWord() string {
	if s.Up {
		return "up"
	}
	return "down"
}

// Words returns the member's state as PyBal writes it: "enabled/up/pooled",
// "disabled/partially up/not pooled". A server nobody has checked yet is
// partially up, as it is there.
func (m Member) Words() string {
	up := "down"
	switch {
	case m.Up == UpYes:
		up = "up"
	case m.Partial, m.Up == UpUnknown:
		up = "partially up"
	}
	return words(m.Enabled, up, m.Pooled)
}

func words(enabled bool, up string, pooled bool) string {
	e, p := "enabled", "pooled"
	if !enabled {
		e = "disabled"
	}
	if !pooled {
		p = "not pooled"
	}
	return e + "/" + up + "/" + p
}

// json writes the member as Python's json.dumps writes PyBal's dict.
func (m Member) json() string {
	return fmt.Sprintf(`{"pooled": %t, "enabled": %t, "up": %t, "weight": %d}`,
		m.Pooled, m.Enabled, m.Up == UpYes, m.Weight)
}

// answer is one body in both forms.
type answer struct {
	status int
	text   string
	json   string
}

const notFoundText = "The desired url was not found"

func notFound() answer {
	return answer{status: 404, text: notFoundText, json: `{"error": ` + pythonString(notFoundText) + `}`}
}

func poolNames(names []string) answer {
	var text strings.Builder
	quoted := make([]string, 0, len(names))
	for _, name := range names {
		text.WriteString(name + "\n")
		quoted = append(quoted, pythonString(name))
	}
	return answer{status: 200, text: text.String(), json: "[" + strings.Join(quoted, ", ") + "]"}
}

func poolState(r Report) answer {
	var text strings.Builder
	entries := make([]string, 0, len(r.Members))
	for _, m := range r.Members {
		text.WriteString(m.Host + ":\t" + m.Words() + "\n")
		entries = append(entries, pythonString(m.Host)+": "+m.json())
	}
	return answer{status: 200, text: text.String(), json: "{" + strings.Join(entries, ", ") + "}"}
}

func memberState(m Member) answer {
	return answer{status: 200, text: m.Words() + "\n", json: m.json()}
}

// alerts judges all pools: critical while a server is down and yet pooled, or a
// pool under its low watermark; warning for a pool too small to lose one, or
// that may be out of date, and for what is wrong with the balancer as a whole.
// The first of each pair is PyBal's, in its words.
func alerts(reports []Report, about string) answer {
	var critical []string
	warning := ""
	if about != "" {
		warning = about + ". "
	}
	for _, r := range reports {
		if down := downButPooled(r); len(down) > 0 {
			critical = append(critical,
				fmt.Sprintf("%s: Servers %s are marked down but pooled", r.Pool, strings.Join(down, ", ")))
		}
		if r.Fit < r.LowWatermark {
			critical = append(critical, fmt.Sprintf("%s: %d servers fit, low watermark %d", r.Pool, r.Fit, r.LowWatermark))
		}
		if r.Source.doubtful(len(r.Members)) {
			warning += fmt.Sprintf("Pool %s may be out of date: %s. ", r.Pool, r.Source.staleness())
		}
		total := float64(len(r.Members))
		if total > 1 && total < total*r.Threshold+1 {
			warning += fmt.Sprintf("Pool %s is too small to allow depooling. ", r.Pool)
		}
	}
	switch {
	case len(critical) > 0:
		return alert("critical", strings.Join(critical, "; "))
	case warning != "":
		return alert("warning", warning)
	}
	return alert("ok", "All pools are healthy")
}

func alert(status, msg string) answer {
	return answer{
		status: 200,
		text:   strings.ToUpper(status) + " - " + msg,
		json:   fmt.Sprintf(`{"status": "%s", "msg": %s}`, status, pythonString(msg)),
	}
}

func downButPooled(r Report) []string {
	var hosts []string
	for _, m := range r.Members {
		if m.Enabled && m.Pooled && m.Up == UpNo {
			hosts = append(hosts, m.Host)
		}
	}
	return hosts
}

// pythonString quotes s as Python's json.dumps does: everything outside
// printable ASCII as \uXXXX, above the basic plane as a surrogate pair.
func pythonString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r >= ' ' && r <= '~':
			b.WriteRune(r)
		case strings.ContainsRune("\n\r\t\b\f", r):
			// The short escapes are the same in Go and Python.
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
