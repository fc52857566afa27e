package source

import (
	"errors"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/fsnotify/fsnotify"
)

// notices wakes those who follow files when the kernel says that something has
// happened to them. It watches directories, for a file that is replaced is
// another file. Where the kernel has no more notices to give, nobody is woken,
// and everybody looks for himself every second.
type notices struct {
	log *slog.Logger

	mu      sync.Mutex
	watcher *fsnotify.Watcher // nil before the first follower, and without notices
	refused bool
	watched map[string]bool                       // directories
	waiting map[string]map[chan struct{}]struct{} // by path
	done    sync.WaitGroup
}

func newNotices(log *slog.Logger) *notices {
	return &notices{log: log, watched: map[string]bool{}, waiting: map[string]map[chan struct{}]struct{}{}}
}

// join returns a channel that is readable after something happened at path.
func (n *notices) join(path string) (changed <-chan struct{}, leave func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open()
	c := make(chan struct{}, 1)
	if n.waiting[path] == nil {
		n.waiting[path] = map[chan struct{}]struct{}{}
	}
	n.waiting[path][c] = struct{}{}
	return c, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.waiting[path], c)
	}
}

// open starts the watcher, once.
func (n *notices) open() {
	if n.watcher != nil || n.refused {
		return
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		n.refused = true
		n.log.Warn("no notices of file changes, polling only", "err", err)
		return
	}
	n.watcher = w
	n.done.Go(func() { n.run(w) })
}

// ensure watches the directory of path if it is not watched already: it may
// not have been there, or have been replaced.
func (n *notices) ensure(path string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	dir := filepath.Dir(path)
	if n.watcher != nil && !n.watched[dir] {
		n.watched[dir] = n.watcher.Add(dir) == nil
	}
}

func (n *notices) run(w *fsnotify.Watcher) {
	for {
		select {
		case e, ok := <-w.Events:
			if !ok {
				return
			}
			n.wake(e)
		case err, ok := <-w.Errors:
			if !ok {
				return
			}
			n.log.Debug("notices of file changes", "err", err)
		}
	}
}

func (n *notices) wake(e fsnotify.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
		delete(n.watched, e.Name) // if it is a directory we watch
	}
	for c := range n.waiting[e.Name] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

func (n *notices) close() error {
	n.mu.Lock()
	w := n.watcher
	n.watcher, n.watched = nil, map[string]bool{}
	n.mu.Unlock()
	if w == nil {
		return nil
	}
	err := w.Close()
	n.done.Wait()
	if errors.Is(err, fsnotify.ErrClosed) {
		return nil
	}
	return err
}
