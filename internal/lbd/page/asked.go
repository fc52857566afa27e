package page

import (
	"net/url"
	"slices"
	"strings"
)

// asked is what the page was asked to show.
type asked struct {
	// Text is what to look for; all its words must be there.
	Text string
	// Trouble leaves out the pools that are fine.
	Trouble bool
	// Pools are the names of the only ones to show, unfolded; none means all.
	Pools []string
	// Part are the names of pools to write of those to show, with their
	// servers; none means all. It is for the script, which has the others.
	Part []string
	// Still keeps the page from loading itself again.
	Still bool
	words []string
}

// maxText is how much may be looked for.
const maxText = 200

// parseAsked never fails: it is what people type.
func parseAsked(v url.Values) asked {
	text := v.Get("q")
	a := asked{Text: strings.ToValidUTF8(text[:min(len(text), maxText)], ""), Trouble: v.Get("trouble") != "", Pools: v["pool"], Part: v["part"], Still: v.Get("still") != ""}
	a.words = strings.Fields(strings.ToLower(a.Text))
	return a
}

// Restricted tells whether some pools may be left out.
func (a asked) Restricted() bool { return len(a.words) > 0 || a.Trouble || len(a.Pools) > 0 }

// Moving and Stopped are the same page, loading itself again or not.
func (a asked) Moving() string { return a.address("") }

// Stopped is documented with Moving.
func (a asked) Stopped() string { return a.address("on") }

func (a asked) address(still string) string {
	v := url.Values{"pool": a.Pools}
	for name, value := range map[string]string{"q": a.Text, "still": still} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if a.Trouble {
		v.Set("trouble", "on")
	}
	return (&url.URL{Path: Path, RawQuery: v.Encode()}).String()
}

// wants tells whether to show the pool, and whether that is because of one of
// its servers.
func (a asked) wants(p *pool) (show, byServer bool) {
	if len(a.Pools) > 0 && !slices.Contains(a.Pools, p.Pool) || a.Trouble && !p.Attention() {
		return false, false
	}
	if len(a.words) == 0 {
		return true, false
	}
	own := strings.ToLower(p.Pool + " " + p.VIP + " " + p.Source.URL)
	servers := ""
	for _, word := range a.words {
		if strings.Contains(own, word) {
			continue
		}
		if servers == "" {
			servers = p.servers()
		}
		if !strings.Contains(servers, word) {
			return false, false
		}
		byServer = true
	}
	return true, byServer
}

// servers has all names and addresses of servers, to be looked into.
func (p *pool) servers() string {
	var all strings.Builder
	for _, m := range p.Members {
		all.WriteString(m.Host + " " + m.Address + " ")
	}
	return strings.ToLower(all.String())
}

// change tells whether the change is about something shown.
func (a asked) change(pool, host string, shown map[string]bool) bool {
	if !a.Restricted() {
		return true
	}
	if len(a.Pools) > 0 || a.Trouble {
		return shown[pool]
	}
	text := strings.ToLower(pool + " " + host)
	return !slices.ContainsFunc(a.words, func(word string) bool { return !strings.Contains(text, word) })
}
