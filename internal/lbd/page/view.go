package page

import (
	"fmt"
	"html/template"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// Bounds of one page.
const (
	maxNamed   = 20  // pools named at the top
	maxChanges = 30  // changes listed
	maxInline  = 500 // servers listed without being asked for
	fewPools   = 3   // pools that are unfolded at once
)

// view is what the template is given.
type view struct {
	Name, Now, Version, LastEvent string

	Asked asked
	// Counted are all pools; Matching is how many of them are to be shown, and
	// Pools are those written.
	Counted, Pools       []*pool
	Matching             int
	Servers, Connections int
	// Attention is how many pools need it; Named are the first of them.
	Attention int
	Named     []*pool

	// Warning is what is wrong with the balancer as a whole.
	Warning      string
	BGP          lbstatus.BGP
	Changes      []lbstatus.Change
	OlderChanges int
}

// Unnamed is how many pools need attention and are not named.
func (v view) Unnamed() int { return v.Attention - len(v.Named) }

// SessionsDown is how many routers hear nothing of us.
func (v view) SessionsDown() (n int) {
	for _, p := range v.BGP.Peers {
		if !p.Established() {
			n++
		}
	}
	return n
}

// view collects what a page shows. The number of the last event is taken first:
// what changes meanwhile is told again.
func (h *handler) view(a asked) view {
	v := view{
		Name: h.name, Version: h.version, LastEvent: h.board.LastEvent(), Asked: a, BGP: h.board.BGP(), Warning: h.board.Warning(),
		Now: time.Now().UTC().Format(stamp),
	}
	shown := map[string]bool{}
	inline := 0
	for i, report := range h.board.Reports() {
		p := newPool(report, i)
		v.count(p)
		show, byServer := a.wants(p)
		if !show {
			continue
		}
		shown[p.Pool] = true
		v.Matching++
		if len(a.Part) > 0 && !slices.Contains(a.Part, p.Pool) {
			continue
		}
		v.Pools = append(v.Pools, p)
		inline += len(p.Members)
		p.Open = byServer || len(a.Pools) > 0
	}
	for _, p := range v.Pools {
		p.Lazy = inline > maxInline && len(a.Pools)+len(a.Part) == 0
		p.Open = !p.Lazy && (p.Open || v.Matching <= fewPools)
	}
	for _, c := range h.board.Changes() {
		switch {
		case !a.change(c.Pool, c.Host, shown):
		case len(v.Changes) < maxChanges:
			v.Changes = append(v.Changes, c)
		default:
			v.OlderChanges++
		}
	}
	return v
}

func (v *view) count(p *pool) {
	v.Counted = append(v.Counted, p)
	v.Servers += len(p.Members)
	v.Connections += p.Connections
	if p.Attention() {
		v.Attention++
		if len(v.Named) < maxNamed {
			v.Named = append(v.Named, p)
		}
	}
}

// stamp is how a moment is written: everybody's clock is UTC here.
const stamp = "2006-01-02 15:04:05 UTC"

func timestamp(t time.Time) template.HTML {
	t = t.UTC()
	return template.HTML(fmt.Sprintf(`<time datetime="%s">%s</time>`, t.Format(time.RFC3339), t.Format(stamp)))
}

func percent(share float64) string { return fmt.Sprintf("%.4g %%", share*100) }

// plural is the form of a word for a number of things.
func plural(n any, word string) string {
	if fmt.Sprint(n) == "1" {
		return word
	}
	if strings.HasSuffix(word, "x") {
		return word + "es"
	}
	return word + "s"
}

// anchor is the element a pool is in.
func anchor(pool string) string { return "pool-" + url.PathEscape(pool) }
