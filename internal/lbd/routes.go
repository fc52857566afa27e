package lbd

import (
	"net/http"
	"strings"

	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// routes is everything the status server answers: the metrics, the page for
// people, and the two dialects for programs. "/" is the page for a browser; for
// anyone else it is what PyBal answers there, not found.
func routes(board *lbstatus.Board, name string) http.Handler {
	status := lbstatus.Handler(board)
	page := pageHandler(board, name)
	metrics := metricsHandler(board)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case path == "/metrics" || strings.HasPrefix(path, "/metrics/"):
			metrics.ServeHTTP(w, r)
		case path == "/status", path == "/" && strings.Contains(r.Header.Get("Accept"), "text/html"):
			page.ServeHTTP(w, r)
		default:
			status.ServeHTTP(w, r)
		}
	})
}
