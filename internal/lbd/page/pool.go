package page

import (
	"fmt"
	"strings"

	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// pool is one pool's report, and what a person should notice about it.
type pool struct {
	lbstatus.Report
	// At is its place among all.
	At int
	// Open unfolds it; Lazy leaves its servers out until they are asked for.
	Open, Lazy bool

	Pooled, Connections int
	// Troubles need somebody; Notes are worth knowing.
	Troubles, Notes []string
}

// Anchor is the id of the pool's element.
func (p *pool) Anchor() string { return anchor(p.Pool) }

// Heard is false until the source has said anything.
func (p *pool) Heard() bool { return !p.Source.Heard.IsZero() }

// Behind is true while something seen is not in force yet.
func (p *pool) Behind() bool { return p.Applied < p.Seen }

// Counted is true where the revisions are lbd's own, which are only long
// numbers to people.
func (p *pool) Counted() bool { return p.Source.Revisions == lbstatus.LocalRevisions }

// Attention tells whether somebody should look.
func (p *pool) Attention() bool { return len(p.Troubles)+len(p.Notes) > 0 }

// State is the worst there is to say, in a word.
func (p *pool) State() string {
	switch {
	case len(p.Troubles) > 0:
		return "trouble"
	case len(p.Notes) > 0:
		return "degraded"
	}
	return "fine"
}

// Sign says the same to who cannot tell colours apart.
func (p *pool) Sign() string {
	return map[string]string{"trouble": "✗", "degraded": "!", "fine": "✓"}[p.State()]
}

// Troubled tells whether a pool has what the page calls trouble: something that
// needs somebody.
func Troubled(report lbstatus.Report) bool { return len(newPool(report, 0).Troubles) > 0 }

func newPool(report lbstatus.Report, at int) *pool {
	p := &pool{Report: report, At: at}
	var stuck, held, down []string
	for _, m := range report.Members {
		p.Connections += m.Connections
		if m.Pooled {
			p.Pooled++
		}
		switch {
		case m.Pooled && m.Up == lbstatus.UpNo:
			stuck = append(stuck, m.Host)
		case m.Held:
			held = append(held, m.Host)
		case m.Enabled && m.Up == lbstatus.UpNo:
			down = append(down, m.Host)
		}
	}
	p.troubles(stuck, held)
	if len(down) > 0 {
		p.Notes = append(p.Notes, "Down: "+names(down)+".")
	}
	return p
}

func (p *pool) troubles(stuck, held []string) {
	trouble := func(when bool, format string, args ...any) {
		if when {
			p.Troubles = append(p.Troubles, fmt.Sprintf(format, args...))
		}
	}
	source := p.Source
	trouble(source.Error != "", "Source: %s.", source.Error)
	trouble(!p.Heard(), "Nothing heard from the source yet.")
	trouble(p.Heard() && source.Error != "", "The last good pool stays in force.")
	trouble(p.Heard() && source.Stale && source.Error == "", "The source is silent since %s. The last good pool stays in force.", source.Heard.UTC().Format(stamp))
	trouble(p.Error != "", "Table: %s.", p.Error)
	trouble(p.Heard() && p.Pooled == 0, "No server is in the table.")
	trouble(p.Fit < p.LowWatermark, "Under the low watermark: %d of %d servers are fit.", p.Fit, p.LowWatermark)
	trouble(len(stuck) > 0, "Down but in the table: %s.", names(stuck))
	trouble(len(held) > 0, "Held in the table by the threshold: %s.", names(held))
}

// names lists a few servers; the rest is in the table below.
func names(hosts []string) string {
	const few = 5
	if len(hosts) <= few {
		return strings.Join(hosts, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(hosts[:few], ", "), len(hosts)-few)
}
