// Package page is the balancer's status page for people: pools, servers, routers
// and what changed last. It is whole without JavaScript; with it, it is live.
package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the template and what it loads
	"encoding/hex"
	"html/template"
	"net/http"
	"time"

	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

//go:embed page.js
var pageJS string

//go:embed icon.svg
var iconSVG string

// Path is where the page is; what it loads is below.
const Path = "/status"

// policy lets the page load its own style, script and icon, ask its own server,
// and nothing else.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// handler serves the page and what it loads.
type handler struct {
	board   *lbstatus.Board
	name    string
	page    *template.Template
	version string // of all that is embedded
	assets  map[string]asset
}

type asset struct{ kind, text string }

// Handler returns the page about a board; name is what the balancer calls
// itself. It answers at any path but those of what the page loads.
func Handler(board *lbstatus.Board, name string) http.Handler {
	sum := sha256.Sum256([]byte(pageHTML + pageCSS + pageJS + iconSVG))
	return &handler{
		board: board, name: name,
		page:    template.Must(template.New("page").Funcs(template.FuncMap{"percent": percent, "time": timestamp, "plural": plural}).Parse(pageHTML)),
		version: hex.EncodeToString(sum[:8]),
		assets: map[string]asset{
			Path + "/page.css": {"text/css; charset=utf-8", pageCSS},
			Path + "/page.js":  {"text/javascript; charset=utf-8", pageJS},
			Path + "/icon.svg": {"image/svg+xml", iconSVG},
		},
	}
}

// Serves tells whether the path is the page's.
func Serves(path string) bool {
	switch path {
	case Path, Path + "/page.css", Path + "/page.js", Path + "/icon.svg":
		return true
	}
	return false
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Content-Security-Policy", policy)
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	if a, ok := h.assets[r.URL.Path]; ok {
		header.Set("Content-Type", a.kind)
		header.Set("Cache-Control", "no-cache")
		header.Set("ETag", `"`+h.version+`"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader([]byte(a.text)))
		return
	}
	h.servePage(w, r)
}

func (h *handler) servePage(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	if err := h.page.Execute(&body, h.view(parseAsked(r.URL.Query()))); err != nil {
		http.Error(w, "render page: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = body.WriteTo(w) // the client went away
}
