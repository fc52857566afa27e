package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
)

// lineHandler writes log records as "TIME [LEVEL] message", with the names
// Python gives the levels. Attributes follow as key=value.
type lineHandler struct {
	w     io.Writer
	level slog.Level
	mu    *sync.Mutex
	attrs string
}

func newLineHandler(w io.Writer, debug bool) *lineHandler {
	h := &lineHandler{w: w, mu: &sync.Mutex{}}
	if debug {
		h.level = slog.LevelDebug
	}
	return h
}

// Enabled tells whether the level is logged.
func (h *lineHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

// Handle writes one line.
func (h *lineHandler) Handle(_ context.Context, r slog.Record) error {
	attrs := h.attrs
	r.Attrs(func(a slog.Attr) bool { attrs += " " + a.String(); return true })
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := fmt.Fprintf(h.w, "%s [%s] %s%s\n", r.Time.Format("2006-01-02 15:04:05,000"), levelName(r.Level), r.Message, attrs)
	return err
}

// WithAttrs returns a handler that adds attributes to every line.
func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	for _, a := range attrs {
		with.attrs += " " + a.String()
	}
	return &with
}

// WithGroup returns the handler itself: lines have no groups.
func (h *lineHandler) WithGroup(string) slog.Handler { return h }

func levelName(l slog.Level) string {
	if l >= slog.LevelWarn && l < slog.LevelError {
		return "WARNING"
	}
	return l.String()
}
