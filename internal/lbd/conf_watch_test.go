package lbd

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// watched is a configuration file under watch, with a test in the place of the
// balancer.
type watched struct {
	t    *testing.T
	dir  string
	file *configFile
	ask  chan string
}

// watch watches pybal.conf in a directory that setup has filled. Without poll
// it is the kernel's notices alone that are relied upon.
func watch(t *testing.T, poll time.Duration, setup func(w *watched)) *watched {
	t.Helper()
	w := &watched{t: t, dir: t.TempDir(), ask: make(chan string)}
	w.file = &configFile{path: w.path("pybal.conf"), poll: poll}
	setup(w)
	w.read()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.file.watch(ctx, slog.New(slog.DiscardHandler), w.ask)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return w
}

func (w *watched) path(name string) string { return filepath.Join(w.dir, name) }

func (w *watched) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// write makes a file with that many services.
func (w *watched) write(name string, services int) {
	w.t.Helper()
	w.must(os.WriteFile(w.path(name), []byte(conf(services)), 0o644))
}

func conf(services int) (text string) {
	for i := range services {
		text += service(fmt.Sprintf("s%d", i), fmt.Sprintf("port = %d", 80+i))
	}
	return text
}

// read reads the file as a reload does, and returns how many services there are;
// -1 for a bad one.
func (w *watched) read() int {
	config, err := w.file.read()
	if err != nil {
		return -1
	}
	return len(config.Services)
}

// asked waits until the watch asks for a reload that finds so many services.
// A slow machine may be asked halfway through a change too.
func (w *watched) asked(services int) {
	w.t.Helper()
	for got := w.next(); got != services; got = w.next() {
		w.t.Logf("asked to read %d services on the way to %d", got, services)
	}
}

func (w *watched) next() int {
	w.t.Helper()
	select {
	case <-w.ask:
		return w.read()
	case <-time.After(20 * time.Second):
		w.t.Fatal("not asked any more")
		return 0
	}
}

const never = time.Hour

func TestWatchNoticesEveryWayToReplaceAFile(t *testing.T) {
	w := watch(t, never, func(w *watched) { w.write("pybal.conf", 1) })
	// Puppet and its like: a new file in its place.
	w.write(".pybal.conf.new", 2)
	w.must(os.Rename(w.path(".pybal.conf.new"), w.path("pybal.conf")))
	w.asked(2)
	// An editor: the old one moved aside, a new one written.
	w.must(os.Rename(w.path("pybal.conf"), w.path("pybal.conf~")))
	w.write("pybal.conf", 3)
	w.asked(3)
	// A shell's redirection, in place.
	w.write("pybal.conf", 4)
	w.asked(4)
	// A file turns into a link.
	w.write("other", 5)
	w.must(os.Symlink("other", w.path("link")))
	w.must(os.Rename(w.path("link"), w.path("pybal.conf")))
	w.asked(5)
	// What the link stands for changes, in place.
	w.write("other", 6)
	w.asked(6)
	// A bad one asks too, once, and so does the good one after it.
	w.must(os.WriteFile(w.path("other"), []byte("nonsense"), 0o644))
	w.asked(-1)
	w.must(os.Remove(w.path("other")))
	w.asked(-1)
	w.write("other", 7)
	w.asked(7)
}

// A link into another directory is followed there, and to where it points next.
func TestWatchFollowsLinks(t *testing.T) {
	w := watch(t, never, func(w *watched) {
		w.must(os.Mkdir(w.path("a"), 0o755))
		w.must(os.Mkdir(w.path("b"), 0o755))
		w.write("a/real", 1)
		w.write("b/real", 3)
		w.must(os.Symlink("a/real", w.path("now")))
		w.must(os.Symlink(w.path("now"), w.path("pybal.conf")))
	})
	w.write("a/real", 2)
	w.asked(2)
	w.must(os.Symlink("b/real", w.path("next")))
	w.must(os.Rename(w.path("next"), w.path("now")))
	w.asked(3)
	w.write("b/real", 4)
	w.asked(4)
}

// A mounted set of files as orchestrators make it: the file is a link through a
// directory that is itself a link and is swapped.
func TestWatchNoticesASwappedDirectory(t *testing.T) {
	w := watch(t, never, func(w *watched) {
		w.must(os.Mkdir(w.path("1"), 0o755))
		w.must(os.Mkdir(w.path("2"), 0o755))
		w.write("1/pybal.conf", 1)
		w.write("2/pybal.conf", 2)
		w.must(os.Symlink("1", w.path("data")))
		w.must(os.Symlink("data/pybal.conf", w.path("pybal.conf")))
	})
	w.must(os.Symlink("2", w.path("next")))
	w.must(os.Rename(w.path("next"), w.path("data")))
	w.asked(2)
}

// What leaves the contents as they were is nothing, and what is still changing is
// waited for.
func TestWatchAsksForChangesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &watched{t: t, dir: t.TempDir(), ask: make(chan string)}
		w.file = &configFile{path: w.path("pybal.conf")}
		w.write("pybal.conf", 1)
		w.read()
		w.looks(false, "as read")
		later := time.Now().Add(time.Hour)
		w.must(os.Chtimes(w.file.path, later, later))
		w.write("pybal.conf", 1)
		w.looks(false, "touched")
		w.write("pybal.conf", 2)
		w.looks(true, "another")
		w.looks(true, "another, and not read yet")
		w.read()
		w.looks(false, "read since")
		go w.meanwhile(func() { w.write("pybal.conf", 2) })
		w.write("pybal.conf", 3)
		w.looks(false, "taken back at once")
		go w.meanwhile(func() { w.write("pybal.conf", 5) })
		w.write("pybal.conf", 4)
		w.looks(false, "still being written")
		w.looks(true, "written")
		go w.meanwhile(func() { w.read() })
		w.looks(false, "read by a signal's reload meanwhile")
		go w.meanwhile(func() { w.write("pybal.conf", 5) })
		w.must(os.Remove(w.file.path))
		w.looks(false, "away for a moment")
		w.must(os.Remove(w.file.path))
		w.looks(true, "away")
		w.read()
		w.looks(false, "still away")
	})
}

// looks looks once, and tells whether that asked for a reload.
func (w *watched) looks(want bool, what string) {
	w.t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.file.look(w.t.Context(), w.ask)
	}()
	got := false
	select {
	case <-done:
	case <-w.ask:
		got = true
		<-done
	}
	if got != want {
		w.t.Errorf("%s: asked: %v", what, got)
	}
	time.Sleep(confSettle) // the bubble's clock: let go of what happens meanwhile
}

// meanwhile does something while a changed file is waited for.
func (w *watched) meanwhile(do func()) {
	time.Sleep(confSettle / 2) // the bubble's clock
	do()
}

// A slow writer is waited for: what is asked for is what stands in the end.
func TestWatchWaitsForTheLastStep(t *testing.T) {
	w := watch(t, never, func(w *watched) { w.write("pybal.conf", 1) })
	text := conf(60)
	f, err := os.Create(w.path("pybal.conf"))
	w.must(err)
	for line := range 60 {
		_, err := f.WriteString(text[line*len(text)/60 : (line+1)*len(text)/60])
		w.must(err)
		w.must(f.Sync())
	}
	w.must(f.Close())
	w.asked(60)
}

// Where the kernel tells nothing, looking does.
func TestWatchPolls(t *testing.T) {
	w := watch(t, 10*time.Millisecond, func(w *watched) {
		w.must(os.Mkdir(w.path("real"), 0o755))
		w.must(os.Mkdir(w.path("next"), 0o755))
		w.write("real/pybal.conf", 1)
		w.write("next/pybal.conf", 2)
		w.must(os.Symlink("real", w.path("etc")))
		w.file.path = w.path("etc/pybal.conf")
	})
	// The link is in a directory nobody watches.
	w.must(os.Symlink("next", w.path("new")))
	w.must(os.Rename(w.path("new"), w.path("etc")))
	w.asked(2)
}
