package page

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// shownPools are the pools a page has, in order; "+" follows those that are
// unfolded, "?" those whose servers are not there yet.
func shownPools(t *testing.T, board *lbstatus.Board, target string) (string, string) {
	t.Helper()
	page, _ := get(t, board, target)
	var names []string
	for _, m := range regexp.MustCompile(`<details class="pool [a-z]+" id="[^"]*" data-pool="([^"]*)" data-at="\d+"( data-lazy="yes")?( open="open")?>`).FindAllStringSubmatch(page, -1) {
		name := m[1]
		if m[2] != "" {
			name += "?"
		}
		if m[3] != "" {
			name += "+"
		}
		names = append(names, name)
	}
	return strings.Join(names, " "), page
}

func TestPageFilters(t *testing.T) {
	board := lbstatus.NewBoard("web_80", "web_443", "dns_53", "mail_25", "empty")
	fine := func(name, vip string, hosts ...string) {
		r := webReport()
		r.Pool, r.VIP, r.Source.URL = name, vip, "file:///etc/pools/"+name
		m := r.Members[0]
		r.Members = nil
		for _, host := range hosts {
			m.Host = host
			r.Members = append(r.Members, m)
		}
		board.Publish(r)
	}
	board.Publish(webReport())
	fine("web_443", "tcp 192.0.2.1:443", "cp9.example")
	fine("dns_53", "udp 192.0.2.53:53", "ns1.example", "ns2.example")
	fine("mail_25", "tcp [2001:db8::25]:25", "mx1.example")
	for _, c := range []struct{ target, want, shown string }{
		{"/status", "web_80 web_443 dns_53 mail_25 empty", ""},
		{"/", "web_80 web_443 dns_53 mail_25 empty", ""},
		{"/status?q=WEB", "web_80+ web_443+", "2 of 5 pools."},
		{"/status?q=ns2", "dns_53+", "1 of 5 pools."},
		{"/status?q=example", "web_80+ web_443+ dns_53+ mail_25+", "4 of 5 pools."},
		{"/status?q=tcp", "web_80+ web_443+ mail_25+", "3 of 5 pools."},
		{"/status?q=192.0.2.11+cp4", "web_80+", "1 of 5 pools."},
		{"/status?q=2001:db8::25+udp", "", "0 of 5 pools."},
		{"/status?q=etc/pools", "web_443+ dns_53+ mail_25+", "3 of 5 pools."},
		{"/status?trouble=on", "web_80+ empty+", "2 of 5 pools."},
		{"/status?trouble=on&q=web", "web_80+", "1 of 5 pools."},
		{"/status?pool=dns_53&pool=nothing", "dns_53+", "1 of 5 pools."},
		{"/status?pool=dns_53&trouble=on", "", "0 of 5 pools."},
		{"/status?part=dns_53&part=empty", "dns_53 empty", ""},
		{"/status?part=dns_53&part=empty&trouble=on", "empty+", "2 of 5 pools."},
	} {
		got, page := shownPools(t, board, c.target)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", c.target, diff)
		}
		if !strings.Contains(page, `<p id="shown">`+c.shown) {
			t.Errorf("%s does not say %q", c.target, c.shown)
		}
	}
	if _, page := shownPools(t, board, "/status?q=nowhere"); !strings.Contains(page, "No pool is like that.") {
		t.Error("nothing is said of nothing")
	}
}

// TestPageFiltersChanges as it does pools.
func TestPageFiltersChanges(t *testing.T) {
	board := lbstatus.NewBoard("web_80", "dns_53")
	for _, name := range []string{"web_80", "dns_53"} {
		r := webReport()
		r.Pool = name
		board.Publish(r)
		r.Members = append([]lbstatus.Member{}, r.Members...)
		r.Members[0].Weight = 77
		board.Publish(r)
	}
	for target, want := range map[string]int{"/status": 8, "/status?pool=web_80": 4, "/status?q=web": 4, "/status?q=cp1": 2, "/status?q=cp1+dns": 1, "/status?part=web_80": 8} {
		page, _ := get(t, board, target)
		if n := strings.Count(page, `data-label="When"`); n != want {
			t.Errorf("%s has %d changes, want %d", target, n, want)
		}
	}
	for i := range 2 * maxChanges {
		r := webReport()
		r.Members = r.Members[:1]
		r.Members[0].Weight = i
		board.Publish(r)
	}
	page, _ := get(t, board, "/status")
	if n := strings.Count(page, `data-label="When"`); n != maxChanges || !strings.Contains(page, " older ones in ") {
		t.Errorf("%d of many changes", n)
	}
}

// TestPageOfManyPools names the servers of none but those asked for.
func TestPageOfManyPools(t *testing.T) {
	board := large(t, 1000)
	got, page := shownPools(t, board, "/status")
	if n := strings.Count(got, "?"); n != 1000 || strings.Contains(page, "host0001") {
		t.Errorf("%d of 1000 pools are without servers", n)
	}
	holds(t, page, "10 of 1000 pools need attention", `<a href="/status?pool=service0042_443">10 servers</a>`)
	if got, _ = shownPools(t, board, "/status?q=host0042"); got != "service0042_443+" {
		t.Errorf("one server: %s", got)
	}
	if got, _ = shownPools(t, board, "/status?part=service0042_443"); got != "service0042_443" {
		t.Errorf("one part: %s", got)
	}
	names := make([]string, 100)
	for i := range names {
		names[i] = strings.Repeat("p", i+1)
	}
	page, _ = get(t, lbstatus.NewBoard(names...), "/status")
	holds(t, page, `100 of 100 pools need attention`, `<a href="/status?trouble=on">and 80 more</a>`)
}

// TestPageLooksForSoMuch and no more, however much is asked.
func TestPageLooksForSoMuch(t *testing.T) {
	words := parseAsked(url.Values{"q": {strings.Repeat("é ", 10_000)}}).words
	if len(words) != (maxText+2)/len("é ") || words[0] != "é" {
		t.Errorf("%d words like %q", len(words), words[0])
	}
	if a := parseAsked(url.Values{"q": {strings.Repeat("é", 10_000)}}); len(a.Text) != maxText {
		t.Errorf("%d bytes", len(a.Text))
	}
}

// TestPageStandsStill where that is asked for, and leads back.
func TestPageStandsStill(t *testing.T) {
	board := lbstatus.NewBoard("a b")
	page, _ := get(t, board, "/status?q=x+y&trouble=on&pool=a+b")
	holds(t, page, `http-equiv="refresh"`, `<a href="/status?pool=a&#43;b&amp;q=x&#43;y&amp;still=on&amp;trouble=on">Stop that</a>`)
	page, _ = get(t, board, "/status?q=x+y&still=on")
	holds(t, page, `<a href="/status?q=x&#43;y">Reload it every 10 seconds</a>`)
	lacks(t, page, `http-equiv="refresh"`)
}
