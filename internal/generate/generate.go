// Package generate keeps files as the store says: PyBal's pool files and dsh
// groups, written once or for as long as somebody asks for it. Whatever is
// wrong with the store, a value, a check or the disk, a good file stays whole.
package generate

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// Store is where the objects are, as *state.Store has them.
type Store interface {
	// Root is what all keys begin with.
	Root() string
	// Snapshot returns everything below a prefix.
	Snapshot(ctx context.Context, prefix string) (state.Snapshot, error)
	// Watch emits everything below a prefix, and does so again after each
	// change, until ctx ends.
	Watch(ctx context.Context, prefix string, emit func(state.Event)) error
}

// Reporter is told what happens, never concurrently.
type Reporter interface {
	// Wrote tells of a file that was replaced, and what it holds now.
	Wrote(file, what string)
	// Trouble tells what is wrong with a file or with what files are made of:
	// once, and again when it is something else. A nil error means that all is
	// well again.
	Trouble(about string, err error)
	// Stray names keys below the type's path that are none of its objects.
	Stray(t *objects.Type, keys []string)
}

// Options say what to keep, and how.
type Options struct {
	Store  Store
	Kind   Kind
	Report Reporter
	// AllowEmpty lets a pool without servers replace a file that lists some.
	AllowEmpty bool
	// Check must approve a new file before it replaces the old one; Reload is
	// run after files have changed. nil is no hook.
	Check, Reload Hook
	// Listen is an address to serve the files at while following, and how they
	// stand, at /metrics and /status; "" serves nothing.
	Listen string
	// MetricsFile is a file to write the metrics to, for node_exporter's
	// textfile collector; "" is none.
	MetricsFile string
}

// Engine keeps the files. It is used by one goroutine: a call of Once, Follow or
// DryRun.
type Engine struct {
	Options
	records map[string]*record // by the file's label
	told    map[string]string  // the trouble that was told, by what it is about
	dirs    map[string]directory
	stray   map[string][]string // the keys that were told, by type
	reload  bool                // is due
	// unsettled is that the last pass left something that the next may mend.
	unsettled bool
	// away is why the store cannot be followed at present, barren why nothing
	// is made of what it holds.
	away, barren error

	contact, success time.Time
	hooks            HookStatus
	files            []FileStatus           // as of the last pass
	status           atomic.Pointer[Status] // for those who ask
}

// New returns an engine.
func New(o Options) *Engine {
	return &Engine{
		Options: o, records: map[string]*record{}, told: map[string]string{},
		dirs: map[string]directory{}, stray: map[string][]string{}, files: []FileStatus{},
	}
}

// Once brings all files to what the store says now, and reports whether all of
// them are. The error is that of the store.
func (e *Engine) Once(ctx context.Context) (bool, error) {
	snaps, err := e.read(ctx)
	if err != nil {
		return false, err
	}
	e.contact = time.Now()
	e.pass(ctx, snaps, true)
	e.publishMetrics()
	return len(e.told) == 0, ctx.Err()
}

// read reads all that the files are made of.
func (e *Engine) read(ctx context.Context) ([]state.Snapshot, error) {
	var snaps []state.Snapshot
	for _, path := range e.Kind.reads() {
		snap, err := e.Store.Snapshot(ctx, e.Store.Root()+path)
		if err != nil {
			return nil, err
		}
		snaps = append(snaps, snap)
	}
	return snaps, nil
}

// tellStray names keys that are no objects, once.
func (e *Engine) tellStray(all []stray) {
	for _, s := range all {
		if !slices.Equal(s.keys, e.stray[s.t.Name]) && len(s.keys) > 0 {
			e.Report.Stray(s.t, s.keys)
		}
		e.stray[s.t.Name] = s.keys
	}
}

// tellStore tells what is wrong with the store.
func (e *Engine) tellStore() { e.tell("store", e.storeError()) }

func (e *Engine) storeError() error {
	if e.away != nil {
		return e.away
	}
	return e.barren
}

// tell passes trouble on if it is news; nil is the end of it.
func (e *Engine) tell(about string, err error) {
	if err == nil {
		if _, was := e.told[about]; was {
			e.Report.Trouble(about, nil)
		}
		delete(e.told, about)
		return
	}
	if text := err.Error(); e.told[about] != text {
		e.told[about] = text
		e.Report.Trouble(about, err)
	}
}
