package lbd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
)

// logger logs to stderr, one line per record: with a time, or as the journal
// wants it where stderr leads there.
func logger(env Env, debug bool) *slog.Logger {
	opts := &slog.HandlerOptions{Level: slog.LevelInfo}
	if debug {
		opts.Level = slog.LevelDebug
	}
	if isJournal(env.Stderr, env.Getenv("JOURNAL_STREAM")) {
		return slog.New(newJournalHandler(env.Stderr, opts))
	}
	return slog.New(slog.NewTextHandler(env.Stderr, opts))
}

// isJournal tells whether w is the very stream systemd connected to the journal.
// That the variable is set says little: whoever redirects stderr inherits it.
func isJournal(w io.Writer, stream string) bool {
	file, ok := w.(*os.File)
	if !ok || stream == "" {
		return false
	}
	info, err := file.Stat()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stream == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}

// journalHandler writes records as the journal reads them from a stream: the
// syslog priority in front, no time, for it has its own.
type journalHandler struct {
	slog.Handler // writes to line
	line         *line
}

// line is where one record is put together; the handlers made of one another
// share it.
type line struct {
	mu  sync.Mutex
	out io.Writer
	bytes.Buffer
}

func newJournalHandler(out io.Writer, opts *slog.HandlerOptions) journalHandler {
	opts.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	l := &line{out: out}
	return journalHandler{slog.NewTextHandler(l, opts), l}
}

// Handle implements slog.Handler.
func (h journalHandler) Handle(ctx context.Context, r slog.Record) error {
	h.line.mu.Lock()
	defer h.line.mu.Unlock()
	h.line.Reset()
	h.line.WriteString(priority(r.Level))
	if err := h.Handler.Handle(ctx, r); err != nil {
		return err
	}
	_, err := h.line.out.Write(h.line.Bytes())
	return err
}

// WithAttrs implements slog.Handler.
func (h journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return journalHandler{h.Handler.WithAttrs(attrs), h.line}
}

// WithGroup implements slog.Handler.
func (h journalHandler) WithGroup(name string) slog.Handler {
	return journalHandler{h.Handler.WithGroup(name), h.line}
}

// priority is a level in syslog's numbers, as sd-daemon(3) has them.
func priority(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return "<3>"
	case level >= slog.LevelWarn:
		return "<4>"
	case level >= slog.LevelInfo:
		return "<6>"
	}
	return "<7>"
}

// complain writes an error the program ends with, each line by itself.
func complain(env Env, text string) {
	prefix := "lbd: "
	if isJournal(env.Stderr, env.Getenv("JOURNAL_STREAM")) {
		prefix = priority(slog.LevelError) + prefix
	}
	for text := range strings.Lines(text) {
		fmt.Fprintln(env.Stderr, prefix+strings.TrimSuffix(text, "\n"))
	}
}
