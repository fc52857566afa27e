package lbd

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// How a configuration file is watched. Whoever writes it may take several steps
// to do so: what is the same for a while is taken for meant.
const (
	confSettle = 250 * time.Millisecond
	// confPause is how long more notices are waited for: directories may be busy.
	confPause = 50 * time.Millisecond
	// confPoll is for what the kernel does not tell, as on network file systems
	// and of directories on the way that are links.
	confPoll = 2 * time.Second
)

// watch asks for a reload whenever there is something else in the file than what
// was read last, until ctx ends.
func (f *configFile) watch(ctx context.Context, log *slog.Logger, ask chan<- string) {
	n := fileNotices{path: f.path}
	if err := n.open(); err != nil {
		log.Warn("no notices of configuration changes, polling only", "err", err)
	}
	defer n.close()
	poll := time.NewTicker(cmp.Or(f.poll, confPoll))
	defer poll.Stop()
	for {
		n.follow()
		f.look(ctx, ask)
		select {
		case <-ctx.Done():
			return
		case <-n.events:
			n.drain(ctx)
		case <-n.errors: // of a queue that overflowed, say: look
		case <-poll.C:
		}
	}
}

// look asks for a reload if there is something else in the file, and the same
// after a while.
func (f *configFile) look(ctx context.Context, ask chan<- string) {
	was, changed := f.changed()
	if !changed {
		return
	}
	select {
	case <-ctx.Done():
		return
	case <-time.After(confSettle):
	}
	if now, changed := f.changed(); !changed || now != was {
		return
	}
	select {
	case ask <- "file changed":
	case <-ctx.Done():
	}
}

// fileNotices are the kernel's notices of whatever happens in the directory of a
// file and, where that is a link, in those of every file on the way to what it
// stands for: a file that is replaced is another file.
type fileNotices struct {
	path    string
	watcher *fsnotify.Watcher // nil: there are none
	events  <-chan fsnotify.Event
	errors  <-chan error
}

func (n *fileNotices) open() error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	n.watcher, n.events, n.errors = w, w.Events, w.Errors
	return nil
}

func (n *fileNotices) close() {
	if n.watcher != nil {
		_ = n.watcher.Close()
	}
}

// drain takes what comes within a moment.
func (n *fileNotices) drain(ctx context.Context) {
	over := time.After(confPause)
	for {
		select {
		case <-ctx.Done():
			return
		case <-over:
			return
		case <-n.events:
		}
	}
}

// mostLinks is how many links the kernel would follow.
const mostLinks = 40

// follow brings the directories watched up to date. What cannot be watched is
// left to polling.
func (n *fileNotices) follow() {
	if n.watcher == nil {
		return
	}
	wanted := map[string]bool{}
	path := n.path
	for range mostLinks {
		wanted[filepath.Dir(path)] = true
		target, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	for _, dir := range n.watcher.WatchList() {
		if !wanted[dir] {
			_ = n.watcher.Remove(dir)
		}
		delete(wanted, dir)
	}
	for dir := range wanted {
		_ = n.watcher.Add(dir)
	}
}
