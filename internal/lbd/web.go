package lbd

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page's template and style
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

// pageHandler serves the status page: everything on the board, for people. It
// needs no JavaScript and loads nothing but itself.
func pageHandler(board *lbstatus.Board, name string) http.Handler {
	page := template.Must(template.New("page").Funcs(template.FuncMap{"percent": percent, "ago": ago}).Parse(pageHTML))
	sum := sha256.Sum256([]byte(pageCSS))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		var body bytes.Buffer
		if err := page.Execute(&body, newPageView(board, name)); err != nil {
			http.Error(w, "render page: "+err.Error(), http.StatusInternalServerError)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		_, _ = body.WriteTo(w) // the client went away
	})
}

// pageView is what the template is given.
type pageView struct {
	Name  string
	Now   string
	CSS   template.CSS
	Pools []poolView
	// Troubled are those of Pools that have Troubles.
	Troubled []poolView
	Servers  int
}

// poolView is one pool's report, and what a person should notice about it.
type poolView struct {
	lbstatus.Report
	Anchor   string
	Pooled   int
	Troubles []string
}

// Heard is false until the source has said anything.
func (v poolView) Heard() bool { return !v.Source.Heard.IsZero() }

// Behind is true while something seen is not in force yet.
func (v poolView) Behind() bool { return v.Applied < v.Seen }

func newPageView(board *lbstatus.Board, name string) pageView {
	view := pageView{Name: name, CSS: template.CSS(pageCSS), Now: time.Now().UTC().Format("2006-01-02 15:04:05 UTC")}
	for i, pool := range board.Pools() {
		report, ok := board.Report(pool)
		if !ok {
			continue
		}
		v := newPoolView(report)
		v.Anchor = fmt.Sprintf("pool-%d", i+1)
		view.Servers += len(v.Members)
		view.Pools = append(view.Pools, v)
		if len(v.Troubles) > 0 {
			view.Troubled = append(view.Troubled, v)
		}
	}
	return view
}

func newPoolView(report lbstatus.Report) poolView {
	v := poolView{Report: report}
	var down []string
	for _, m := range report.Members {
		if m.Pooled {
			v.Pooled++
		}
		if m.Pooled && m.Up == lbstatus.UpNo {
			down = append(down, m.Host)
		}
	}
	trouble := func(when bool, format string, args ...any) {
		if when {
			v.Troubles = append(v.Troubles, fmt.Sprintf(format, args...))
		}
	}
	source := report.Source
	trouble(!v.Heard() && source.Error == "", "Nothing heard from the source yet.")
	trouble(source.Error != "", "Source: %s. The last good pool stays in force.", source.Error)
	trouble(v.Heard() && source.Stale && source.Error == "", "The source has been silent for %s. The last good pool stays in force.", ago(source.Age))
	trouble(report.Error != "", "Table: %s.", report.Error)
	trouble(v.Heard() && v.Pooled == 0, "No server is in the table.")
	trouble(len(down) > 0, "Down but in the table: %s.", strings.Join(down, ", "))
	return v
}

func percent(share float64) string { return fmt.Sprintf("%.4g %%", share*100) }

// ago writes a number of seconds the way a person would say it.
func ago(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
