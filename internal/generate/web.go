package generate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/sluice-lb/sluice/internal/poolfile"
)

// serve serves a handler until ctx ends.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		_ = server.Close()
	})
	err := server.Serve(l)
	if !stop() {
		<-done
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve files: %w", err)
}

// handler serves the files, /metrics and /status.
func (e *Engine) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", fileHandler{e.Kind})
	mux.HandleFunc("GET /metrics", e.metricsHandler)
	mux.HandleFunc("GET /status", e.statusHandler)
	return mux
}

// fileHandler serves generated files. They are small and replaced, never
// written, so each answer is one whole file with the tag of its contents.
type fileHandler struct{ kind Kind }

func (h fileHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD are served here", http.StatusMethodNotAllowed)
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/")
	data, err := h.read(path)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	kind := "text/plain; charset=utf-8"
	if strings.HasSuffix(path, ".json") {
		kind = "application/json"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("ETag", fmt.Sprintf("\"%x\"", sha256.Sum256(data)))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// read reads the file served under a path. The directory is opened each time:
// it may be another one by now.
func (h fileHandler) read(path string) ([]byte, error) {
	p, ok := h.kind.locate(path)
	if !ok {
		return nil, fmt.Errorf("%s: no such file", path)
	}
	dir, err := poolfile.OpenDir(p.dir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.Read(p.name)
}
