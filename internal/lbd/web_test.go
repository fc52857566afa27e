package lbd

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// render returns the page for a board with these reports.
func render(t *testing.T, name string, board *lbstatus.Board) (string, http.Header) {
	t.Helper()
	w := httptest.NewRecorder()
	pageHandler(board, name).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String(), w.Header()
}

func TestPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		board := lbstatus.NewBoard("web_80", "stale", "unheard")
		board.Publish(webReport())
		board.Publish(lbstatus.Report{Pool: "stale", Seen: 7, Applied: 7, Error: "plane says no",
			Source: lbstatus.SourceStatus{URL: "etcd://h/k", Heard: time.Now().Add(-90 * time.Second), Error: "connection refused"}})
		time.Sleep(1500 * time.Millisecond) // of the bubble's clock
		page, _ := render(t, "lb1.example", board)
		for _, want := range []string{
			"<title>(3) lb1.example</title>", `<meta http-equiv="refresh" content="2"/>`,
			"pools: 3, servers: 4, 2000-01-01 00:00:01 UTC", "3 of 3 pools need attention",
			`<h2>web_80 <small>tcp 192.0.2.1:80</small></h2>`, "2 of 4", "50 %, one more may go; held 3 times",
			"applied 41, seen 42 ⏳ behind", "heard 1.5s ago", "Down but in the table: cp2.example.",
			"✓ up", "✗ down</span> <span class=\"why\">connection refused</span>", "? unknown", "● pooled", "○ not pooled", "⚠ held",
			"192.0.2.11:80", "not resolved", "– disabled", "held by threshold",
			"Source: connection refused. The last good pool stays in force.", "Table: plane says no.", "heard 1m32s ago",
			"No server is in the table.", "Nothing heard from the source yet.", "never heard", "No servers.",
		} {
			if !strings.Contains(page, want) {
				t.Errorf("page lacks %q", want)
			}
		}
		if t.Failed() {
			t.Log(page)
		}
	})
}

func TestPageSilentSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		board := lbstatus.NewBoard("web_80")
		r := webReport()
		r.Members = r.Members[:1]
		board.Publish(r)
		time.Sleep(lbstatus.StaleAfter)
		if page, _ := render(t, "lb", board); !strings.Contains(page, "✓ Nothing needs attention.") || strings.Contains(page, "stale") {
			t.Errorf("pool at the edge of staleness is not shown as healthy:\n%s", page)
		}
		time.Sleep(time.Second)
		if page, _ := render(t, "lb", board); !strings.Contains(page, "The source has been silent for 6s.") || !strings.Contains(page, "⚠ stale") {
			t.Errorf("stale pool is not shown as such:\n%s", page)
		}
	})
}

func TestPageEscapes(t *testing.T) {
	const hostile = `</td><script>alert(1)</script>"'&{{.}}`
	board := lbstatus.NewBoard(hostile)
	board.Publish(lbstatus.Report{Pool: hostile, VIP: hostile, Seen: 1, Error: hostile,
		Source: lbstatus.SourceStatus{URL: "javascript:alert(1)" + hostile, Heard: time.Now(), Error: hostile},
		Members: []lbstatus.Member{{Host: hostile, Address: hostile, Up: lbstatus.UpNo, Health: hostile, Pooled: true, Reason: hostile},
			{Host: "\xff\x00", Up: hostile}}})
	page, header := render(t, hostile, board)
	if strings.Contains(page, "<script") || strings.Contains(page, `"'&{`) {
		t.Errorf("hostile text got through:\n%s", page)
	}
	for _, word := range []string{"http://", "https://", "src=", "url(", "@import", "style=", "onload"} {
		if strings.Contains(page, word) {
			t.Errorf("page has %q", word)
		}
	}
	policy := header.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") {
		t.Errorf("policy %q", policy)
	}
	for _, name := range []string{"X-Content-Type-Options", "Referrer-Policy", "Cache-Control"} {
		if header.Get(name) == "" {
			t.Errorf("no %s", name)
		}
	}
}

// The style must leave the template byte for byte as it was hashed for the
// policy, or no browser will use it.
func TestPageStyleIsWhatThePolicyAllows(t *testing.T) {
	page, _ := render(t, "lb", lbstatus.NewBoard())
	if !strings.Contains(page, "<style>"+pageCSS+"</style>") {
		t.Error("style was changed on its way")
	}
}

// Every element that is opened is closed again.
func TestPageIsWellFormed(t *testing.T) {
	board := lbstatus.NewBoard("web_80", "unheard")
	board.Publish(webReport())
	page, _ := render(t, "lb", board)
	d := xml.NewDecoder(strings.NewReader(page))
	d.Entity = xml.HTMLEntity
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, page)
		}
	}
}

func TestPageMethods(t *testing.T) {
	w := httptest.NewRecorder()
	pageHandler(lbstatus.NewBoard(), "lb").ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}
