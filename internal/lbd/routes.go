package lbd

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/sluice-lb/sluice/docs"
	"github.com/sluice-lb/sluice/internal/lbd/page"
	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// routes is everything the status server answers: the metrics, the page for
// people, the two dialects for programs and what describes them. "/" is the page for a browser; for
// anyone else it is what PyBal answers there, not found.
func routes(board *lbstatus.Board, name string, registry *prometheus.Registry) http.Handler {
	status := lbstatus.Handler(board)
	people := page.Handler(board, name)
	metrics := metricsHandler(registry)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", lbstatus.ServerName)
		switch path := r.URL.Path; {
		case path == "/v1/openapi.yaml" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
			w.Header().Set("Content-Type", "application/yaml")
			_, _ = io.WriteString(w, docs.OpenAPI)
		case path == "/metrics" || strings.HasPrefix(path, "/metrics/"):
			metrics.ServeHTTP(w, r)
		case page.Serves(path), path == "/" && strings.Contains(r.Header.Get("Accept"), "text/html"):
			people.ServeHTTP(w, r)
		default:
			status.ServeHTTP(w, r)
		}
	})
}

// metricsType is the only form served, whatever is asked for, as in PyBal.
const metricsType = "text/plain; version=0.0.4; charset=utf-8"

func metricsHandler(registry *prometheus.Registry) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "read only", http.StatusMethodNotAllowed)
			return
		}
		families, err := registry.Gather()
		var text bytes.Buffer
		encoder := expfmt.NewEncoder(&text, expfmt.NewFormat(expfmt.TypeTextPlain))
		for _, family := range families {
			if err == nil {
				err = encoder.Encode(family)
			}
		}
		if err != nil {
			http.Error(w, fmt.Sprintf("gather metrics: %v", err), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", metricsType)
		_, _ = w.Write(text.Bytes()) // the client is gone: nobody to tell
	})
}

// version is the module's version as the linker recorded it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}
