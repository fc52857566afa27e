package page

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

func webReport() lbstatus.Report {
	return lbstatus.Report{
		Pool: "web_80", VIP: "tcp 192.0.2.1:80", Seen: 42, Applied: 41, Announced: true,
		Threshold: 0.5, CanDepool: true, CouldNotDepool: 3,
		Source: lbstatus.SourceStatus{URL: "etcd://h/k", Heard: time.Now()},
		Members: []lbstatus.Member{
			{Host: "cp1.example", Address: "192.0.2.11:80", Weight: 10, Enabled: true, Up: lbstatus.UpYes, Pooled: true, Reason: "up", Connections: 7},
			{Host: "cp2.example", Address: "192.0.2.12:80", Weight: 10, Enabled: true, Up: lbstatus.UpNo, Pooled: true, Held: true,
				Health: "connection refused", Reason: "held by threshold", Connections: 1},
			{Host: "cp3.example", Enabled: true, Up: lbstatus.UpUnknown, Reason: "name not resolved"},
			{Host: "cp4.example", Address: "192.0.2.14:80", Up: lbstatus.UpNo, Reason: "disabled"},
		},
	}
}

// get returns what the handler answers.
func get(t *testing.T, board *lbstatus.Board, target string) (string, http.Header) {
	t.Helper()
	w := httptest.NewRecorder()
	Handler(board, "lb1.example").ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%s: status %d: %s", target, w.Code, w.Body)
	}
	return w.Body.String(), w.Header()
}

// holds tells what of a page is missing.
func holds(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("page lacks %q", w)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// lacks tells what a page has and should not.
func lacks(t *testing.T, text string, unwanted ...string) {
	t.Helper()
	for _, u := range unwanted {
		if strings.Contains(text, u) {
			t.Errorf("page has %q", u)
		}
	}
}

func TestPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		board := lbstatus.NewBoard("web_80", "stale", "unheard")
		board.Publish(webReport())
		board.Publish(lbstatus.Report{Pool: "stale", Seen: 7, Applied: 7, Error: "plane says no",
			Source: lbstatus.SourceStatus{URL: "etcd://h/k", Heard: time.Now().Add(-90 * time.Second), Error: "connection refused"}})
		board.PublishBGP(lbstatus.BGP{Enabled: true, LocalASN: 64600, Announced: []string{"192.0.2.1/32"}, Peers: []lbstatus.Peer{
			{Address: "192.0.2.254", Session: "established", Since: time.Now()},
			{Address: "192.0.2.253", ASN: 65001, Session: "active", Since: time.Now(), Reason: "hold timer expired"},
		}})
		time.Sleep(1500 * time.Millisecond) // of the bubble's clock
		page, _ := get(t, board, "/status")
		holds(t, page,
			"<title>(3) lb1.example</title>", `<noscript><meta http-equiv="refresh" content="10"/></noscript>`,
			"3 pools, 4 servers, 8 open connections.", "Written 2000-01-01 00:00:01 UTC", "3 of 3 pools need attention",
			`<details class="pool trouble" id="pool-web_80" data-pool="web_80" data-at="0" open="open">`,
			`<b role="heading" aria-level="3">web_80</b> <small>tcp 192.0.2.1:80</small>`, "2 of 4 pooled", "8 connections",
			"50 %, one more may go; held 3 times", "applied 41, seen 42 ⏳ behind", "Down but in the table: cp2.example.",
			"✓ up", "✗ down</span> <span class=\"why\">connection refused</span>", "? unknown", "● pooled", "○ not pooled", "⚠ held",
			"192.0.2.11:80", "not resolved", "– disabled", "held by threshold",
			"Source: connection refused.", "The last good pool stays in force.", "Table: plane says no.",
			`⚠ stale, silent since <time datetime="1999-12-31T23:58:30Z">1999-12-31 23:58:30 UTC</time>`,
			"No server is in the table.", "Nothing heard from the source yet.", "never heard", "No servers.",
			"AS 64600, 2 peers, 1 announced prefix.", "1 of 2 BGP sessions is down:", "✓ established", "✗ active", "hold timer expired", "<li>192.0.2.1/32</li>",
			"none heard of → <b>4</b>", `data-event="`+board.LastEvent()+`"`,
		)
	})
}

func TestPageSilentSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		board := lbstatus.NewBoard("web_80")
		r := webReport()
		r.Members = r.Members[:1]
		board.Publish(r)
		time.Sleep(lbstatus.StaleAfter)
		page, _ := get(t, board, "/status")
		holds(t, page, "✓ Nothing needs attention.", "✓ fine", "BGP is off")
		lacks(t, page, "stale,")
		time.Sleep(time.Second)
		page, _ = get(t, board, "/status")
		holds(t, page, "The source is silent since 2000-01-01 00:00:00 UTC.", "⚠ stale", "✗ trouble", "1 of 1 pool needs attention", "fresh → <b>stale</b>")
	})
}

// TestPageDegraded tells what is worth a look from what needs somebody.
func TestPageDegraded(t *testing.T) {
	board := lbstatus.NewBoard("web_80")
	r := webReport()
	r.Members[1].Pooled, r.Members[1].Held = false, false
	r.Members[2].Up, r.Members[2].Pooled = lbstatus.UpYes, true
	board.Publish(r)
	page, _ := get(t, board, "/status")
	holds(t, page, "! degraded", `<span class="what warn">Down: cp2.example.</span>`, "1 of 1 pool needs attention")
	r.Members[2].Enabled, r.Members[2].Held = false, true
	r.Members[0].Rising, r.LowWatermark, r.Fit = 3, 2, 1
	board.Publish(r)
	board.Warn("The configuration <was> not reloaded")
	page, _ = get(t, board, "/status")
	holds(t, page, "⚠ The configuration &lt;was&gt; not reloaded", "✗ trouble", "Held in the table by the threshold: cp3.example.",
		"Under the low watermark: 1 of 2 servers are fit.", "<dd>2, fit are 1</dd>", "10 <span class=\"why\">(3 for now)</span>")
}

func TestPageEscapes(t *testing.T) {
	const hostile = `</td><script>alert(1)</script>"'&{{.}} %2f`
	board := lbstatus.NewBoard(hostile)
	board.Publish(lbstatus.Report{Pool: hostile, VIP: hostile, Seen: 1, Error: hostile,
		Source: lbstatus.SourceStatus{URL: "javascript:alert(1)" + hostile, Heard: time.Now(), Error: hostile},
		Members: []lbstatus.Member{{Host: hostile, Address: hostile, Up: lbstatus.UpNo, Health: hostile, Pooled: true, Reason: hostile},
			{Host: "\xff\x00", Up: hostile}}})
	board.PublishBGP(lbstatus.BGP{Enabled: true, Announced: []string{hostile}, Peers: []lbstatus.Peer{{Address: hostile, Session: hostile, Reason: hostile}}})
	q := url.QueryEscape(hostile)
	page, header := get(t, board, "/status?q=%22"+q+"&pool="+q+"&still="+q)
	lacks(t, page, "<script>", `"'&{`, "http://", "https://", "url(", "@import", "style=", "onload", `href="javascript`)
	if n := strings.Count(page, "<script"); n != 1 {
		t.Errorf("%d scripts", n)
	}
	if policy := header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
	for _, name := range []string{"X-Content-Type-Options", "Referrer-Policy", "Cache-Control"} {
		if header.Get(name) == "" {
			t.Errorf("no %s", name)
		}
	}
}

// TestPageIsWellFormed: every element that is opened is closed again, no id is
// there twice, and every image, script and style is one that is served.
func TestPageIsWellFormed(t *testing.T) {
	board := lbstatus.NewBoard("web_80", "unheard")
	board.Publish(webReport())
	board.PublishBGP(lbstatus.BGP{Enabled: true, Announced: []string{"192.0.2.1/32"}, Peers: []lbstatus.Peer{{Address: "192.0.2.9"}}})
	page, _ := get(t, board, "/status?trouble=on")
	ids := map[string]bool{}
	d := xml.NewDecoder(strings.NewReader(page))
	d.Entity = xml.HTMLEntity
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, page)
		}
		start, _ := token.(xml.StartElement)
		for _, a := range start.Attr {
			switch {
			case a.Name.Local == "id" && ids[a.Value]:
				t.Errorf("id %s is there twice", a.Value)
			case a.Name.Local == "id":
				ids[a.Value] = true
			case a.Name.Local == "src" || a.Name.Local == "href" && start.Name.Local == "link":
				if !Serves(a.Value) {
					t.Errorf("%s loads %s, which is not served", start.Name.Local, a.Value)
				}
			}
		}
	}
}

// TestPageLoads what it is made of, and has a browser ask only once.
func TestPageLoads(t *testing.T) {
	h := Handler(lbstatus.NewBoard(), "lb")
	for path, kind := range map[string]string{
		"/status/page.css": "text/css; charset=utf-8", "/status/page.js": "text/javascript; charset=utf-8", "/status/icon.svg": "image/svg+xml",
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != 200 || w.Header().Get("Content-Type") != kind || w.Body.Len() == 0 {
			t.Errorf("%s: %d %s", path, w.Code, w.Header().Get("Content-Type"))
		}
		again := httptest.NewRequest(http.MethodGet, path, nil)
		again.Header.Set("If-None-Match", w.Header().Get("ETag"))
		w = httptest.NewRecorder()
		if h.ServeHTTP(w, again); w.Code != http.StatusNotModified {
			t.Errorf("%s again: %d", path, w.Code)
		}
	}
	for _, path := range []string{"/status/", "/status/page.html", "/statusx"} {
		if Serves(path) {
			t.Errorf("%s is said to be the page", path)
		}
	}
}

func TestPageMethods(t *testing.T) {
	for _, path := range []string{"/status", "/status/page.js"} {
		w := httptest.NewRecorder()
		Handler(lbstatus.NewBoard(), "lb").ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, nil))
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: %d, Allow %q", path, w.Code, w.Header().Get("Allow"))
		}
	}
}

// large is a board of pools with ten servers each, of which every hundredth is
// in trouble.
func large(t testing.TB, pools int) *lbstatus.Board {
	t.Helper()
	names := make([]string, pools)
	for i := range names {
		names[i] = fmt.Sprintf("service%04d_443", i)
	}
	board := lbstatus.NewBoard(names...)
	for i, name := range names {
		r := lbstatus.Report{Pool: name, VIP: fmt.Sprintf("tcp 198.51.%d.%d:443", i/250, i%250), Seen: 1000, Applied: 1000, Threshold: .5, CanDepool: true,
			Source: lbstatus.SourceStatus{URL: "etcd://conf1.example:2379/conftool/v1/pools/dc1/cluster/" + name + "/", Heard: time.Now()}}
		for j := range 10 {
			r.Members = append(r.Members, lbstatus.Member{Host: fmt.Sprintf("host%04d-%d.dc1.example", i, j), Address: fmt.Sprintf("10.%d.%d.%d:443", j, i/250, i%250),
				Weight: 10, Enabled: true, Up: lbstatus.UpYes, Pooled: true, Reason: "up", Connections: 3})
		}
		if i%100 == 0 {
			r.Members[0].Up, r.Members[0].Health, r.Members[0].Held, r.Members[0].Reason = lbstatus.UpNo, "connection refused", true, "held by threshold"
		}
		board.Publish(r)
	}
	return board
}

func BenchmarkPage(b *testing.B) {
	h := Handler(large(b, 1000), "lb1.example")
	for name, target := range map[string]string{
		"1000 pools": "/status", "trouble": "/status?trouble=on", "one pool": "/status?part=service0500_443",
		"a server": "/status?q=host0042-7", "words": "/status?q=" + strings.Repeat("e+", 99) + "host0042-7", "50 pools whole": "/status?q=service00",
	} {
		b.Run(name, func(b *testing.B) {
			size := 0
			for b.Loop() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
				size = w.Body.Len()
			}
			b.ReportMetric(float64(size), "bytes")
		})
	}
}
