package generate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-lb/sluice/pkg/state"
)

// storeOf is a store whose events a test chooses, by path.
type storeOf map[string]chan state.Event

func (s storeOf) Root() string { return "/" }

func (s storeOf) Snapshot(context.Context, string) (state.Snapshot, error) {
	return state.Snapshot{}, errors.New("not asked for")
}

func (s storeOf) Watch(ctx context.Context, prefix string, emit func(state.Event)) error {
	for {
		select {
		case ev := <-s[strings.TrimPrefix(prefix, "/")]:
			emit(ev)
		case <-ctx.Done():
			return nil
		}
	}
}

// nodes is a store's word of nodes, given as key and value.
func nodes(pairs ...string) state.Event {
	var snap state.Snapshot
	for i := 0; i < len(pairs); i += 2 {
		snap.Entries = append(snap.Entries, state.Entry{Key: pairs[i], Value: []byte(pairs[i+1]), Revision: 1})
	}
	return state.Event{Snapshot: &snap}
}

const (
	up   = `{"weight": 10, "pooled": "yes"}`
	down = `{"weight": 10, "pooled": "no"}`
)

// followed is a followed directory with one pool file in it, in a synctest
// bubble.
type followed struct {
	t      *testing.T
	e      *Engine
	said   *report
	dir    string
	store  storeOf
	cancel func()
	done   chan error
}

func follow(t *testing.T, change func(*Engine)) *followed {
	e, said, dir := newPyBal(t)
	if change != nil {
		change(e)
	}
	f := &followed{t: t, e: e, said: said, dir: dir, store: storeOf{"pools/": make(chan state.Event)}, done: make(chan error, 1)}
	e.Store = f.store
	var ctx context.Context
	ctx, f.cancel = context.WithCancel(t.Context())
	go func() { f.done <- e.Follow(ctx) }()
	return f
}

// end ends it and wants no error.
func (f *followed) end() {
	f.t.Helper()
	f.cancel()
	if err := <-f.done; err != nil {
		f.t.Error(err)
	}
}

// after wants exactly this to be told within a time.
func (f *followed) after(d time.Duration, want string) {
	f.t.Helper()
	time.Sleep(d) // the bubble's time
	synctest.Wait()
	if got := strings.ReplaceAll(f.said.take(), f.dir, "DIR"); got != want {
		f.t.Errorf("after %s told %q, want %q", d, got, want)
	}
}

func (f *followed) says(ev state.Event) { f.store["pools/"] <- ev }

// A burst is one change; the store's trouble is told once, and its end.
func TestFollowTakesABurstAsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := follow(t, nil)
		f.says(nodes("dc1/web/http/be1", up))
		f.after(19*time.Millisecond, "")
		f.says(nodes("dc1/web/http/be1", up, "dc1/web/http/be2", up))
		f.after(time.Millisecond, "dc1/http: 2 hosts")
		f.says(state.Event{Err: errors.New("away")})
		f.says(state.Event{Err: errors.New("away")})
		f.after(time.Second, "store: away")
		f.says(state.Event{Revision: 7})
		f.after(time.Second, "store: <nil>")
		f.says(nodes())
		f.says(state.Event{Revision: 8})
		f.after(time.Hour, "store: holds no nodes: nothing written")
		f.end()
	})
}

// Somebody edits a file: it is mended within a minute.
func TestFollowLooksAtAllFilesNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := follow(t, nil)
		f.says(nodes("dc1/web/http/be1", up))
		f.after(settleAfter, "dc1/http: 1 hosts")
		if err := os.WriteFile(filepath.Join(f.dir, "dc1/http"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		f.after(resyncEvery, "dc1/http: 1 hosts")
		f.end()
	})
}

// The directory is moved away and comes back as another one: its files are
// written again within ten seconds, and leftovers in it are removed.
func TestFollowOutlivesItsDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := follow(t, nil)
		f.says(nodes("dc1/web/http/be1", up))
		f.after(settleAfter, "dc1/http: 1 hosts")
		if err := os.RemoveAll(f.dir); err != nil {
			t.Fatal(err)
		}
		f.says(nodes("dc1/web/http/be1", down))
		f.after(time.Hour, "DIR: no such file or directory")
		left := filepath.Join(f.dir, "dc1/.http.ABCDEFGH")
		if err := errors.Join(os.MkdirAll(filepath.Dir(left), 0o755), os.WriteFile(left, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
		f.after(10*time.Second, "dc1/http: 1 hosts\nDIR: <nil>")
		if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the leftover: %v", err)
		}
		f.end()
	})
}

// What cannot be written is tried again, ever less often; another file's change
// is no reason to.
func TestFollowTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := follow(t, nil)
		way := filepath.Join(f.dir, "dc1", "http")
		if err := os.MkdirAll(way, 0o755); err != nil {
			t.Fatal(err)
		}
		f.says(nodes("dc1/web/http/be1", up, "dc1/web/ssh/be1", up))
		f.after(settleAfter, "dc1/ssh: 1 hosts\ndc1/http: read dc1/http: not a regular file")
		f.after(1900*time.Millisecond, "") // tried at 1 s, and next at 3 s
		if err := os.Remove(way); err != nil {
			t.Fatal(err)
		}
		f.says(nodes("dc1/web/http/be1", up, "dc1/web/ssh/be1", down))
		f.after(settleAfter, "dc1/ssh: 1 hosts")
		f.after(1100*time.Millisecond, "dc1/http: 1 hosts\ndc1/http: <nil>")
		f.end()
	})
}

// A file in trouble is told of once, however often it is tried, and by its own
// name where a check names the staged one.
func TestCheckIsToldOnce(t *testing.T) {
	e, said, _ := newPyBal(t)
	e.Check = Hook{"sh", "-c", "echo {}: line 2 is odd; exit 1"}
	entries := nodes("dc1/web/http/be1", up).Snapshot.Entries
	for range 3 {
		e.pass(t.Context(), []state.Snapshot{{Entries: entries}}, true)
	}
	got := said.take()
	if strings.Contains(got, "\n") || !strings.Contains(got, "check: sh: exit status 1: ") || !strings.HasSuffix(got, "/dc1/http: line 2 is odd") {
		t.Errorf("told %q", got)
	}
}

// A reload that failed is due until it succeeds; one that became due is run even
// when the program is ending.
func TestReloadIsNotForgotten(t *testing.T) {
	e, said, dir := newPyBal(t)
	e.Reload = Hook{"rm", filepath.Join(dir, "flag")}
	snaps := []state.Snapshot{*nodes("dc1/web/http/be1", up).Snapshot}
	e.pass(t.Context(), snaps, false)
	if got := said.take(); !strings.HasPrefix(got, "dc1/http: 1 hosts\nreload: rm: exit status 1") || !e.unsettled {
		t.Errorf("told %q", got)
	}
	flag := func() {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "flag"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	flag()
	e.pass(t.Context(), snaps, false)
	if got := said.take(); got != "" || !e.unsettled {
		t.Errorf("without a change or a retry told %q", got)
	}
	e.pass(t.Context(), snaps, true)
	if got := said.take(); got != "reload: <nil>" || e.unsettled {
		t.Errorf("told %q", got)
	}
	flag()
	ctx, cancel := context.WithCancel(t.Context())
	e.Check = Hook{"true"}
	e.Report = onWrite{said, cancel}
	e.pass(ctx, []state.Snapshot{*nodes("dc1/web/http/be1", down).Snapshot}, false)
	if _, err := os.Stat(filepath.Join(dir, "flag")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no reload at the end: told %q, %v", said.take(), err)
	}
}

// onWrite calls something when a file was written.
type onWrite struct {
	*report
	call func()
}

func (o onWrite) Wrote(file, what string) {
	o.report.Wrote(file, what)
	o.call()
}

// Keys that are no nodes are named once, and again when they are others.
func TestStrayKeysAreNamedOnce(t *testing.T) {
	e, said, _ := newPyBal(t)
	for _, key := range []string{"dc1", "dc1", "dc2"} {
		pass(t, e, nodes(key, up, "dc1/web/http/be1", up).Snapshot.Entries)
	}
	if got := fmt.Sprint(said.stray); got != "[node [dc1] node [dc2]]" {
		t.Errorf("named %s", got)
	}
}
