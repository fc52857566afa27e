package generate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-lb/sluice/internal/poolfile"
	"github.com/sluice-lb/sluice/pkg/state"
)

// record is what is known of one file.
type record struct {
	place
	parts []any // what it was last made of; nil: it has to be looked at
	well  bool  // it then became what it should be

	status FileStatus
}

// pass brings every file to what the snapshots say. What it cannot write it
// tells of, and leaves; what it left before for the same reasons it tries again
// only in a retry.
func (e *Engine) pass(ctx context.Context, snaps []state.Snapshot, retry bool) {
	e.unsettled = false
	defer e.succeeded()
	p, err := e.Kind.plan(snaps)
	e.tellStray(p.stray)
	e.barren = err
	if e.tellStore(); err != nil {
		return
	}
	dirs := e.open(p.files)
	defer dirs.close()
	changed := false
	for i, o := range e.writeAll(ctx, dirs, p.files, retry) {
		if o.wrote || ctx.Err() == nil { // what was interrupted is not at fault
			changed = e.note(p.files[i], o) || changed
		}
	}
	e.vanished(p.files)
	e.unsettled = e.unsettled || ctx.Err() != nil
	if e.reload && (changed || retry) {
		// What has changed is not left without its reload, even at the end.
		err := e.Reload.Run(context.WithoutCancel(ctx), "")
		e.tell("reload", err)
		if e.reload = err != nil; e.reload {
			e.hooks.ReloadFailures++
		}
	}
	e.unsettled = e.unsettled || e.reload
}

// note takes what came of one file, and reports whether it was written.
func (e *Engine) note(f file, o outcome) bool {
	if o.skipped {
		e.unsettled = e.unsettled || !e.records[f.label].well
		return false
	}
	e.unsettled = e.unsettled || o.err != nil
	r := e.records[f.label]
	if r == nil {
		r = &record{status: FileStatus{File: f.path()}}
		e.records[f.label] = r
	}
	r.place, r.parts, r.well = f.place, f.parts, o.err == nil
	r.status.take(o.wrote, o.err)
	if o.refused {
		e.hooks.CheckFailures++
	}
	if !o.noDir {
		e.tell(f.label, o.err)
	}
	if o.wrote {
		e.reload = e.Reload != nil
		e.Report.Wrote(f.label, o.what)
	}
	return o.wrote
}

// vanished tells of files of pools that are no more: they still say what the
// pools last said, until somebody removes them.
func (e *Engine) vanished(files []file) {
	there := make(map[string]bool, len(files))
	for _, f := range files {
		there[f.label] = true
	}
	for label, r := range e.records {
		if there[label] {
			continue
		}
		if _, err := os.Lstat(r.path()); errors.Is(err, fs.ErrNotExist) {
			delete(e.records, label)
			e.tell(label, nil)
			continue
		}
		err := errors.New("its pool is no more: kept as it is")
		e.tell(label, err)
		r.status.take(false, err)
	}
}

// outcome is what came of one file.
type outcome struct {
	skipped bool // nothing was to be done
	noDir   bool // there is no directory to write to, which is told elsewhere
	wrote   bool
	refused bool   // by the check
	what    string // it holds now
	err     error  // beside a written file: what could not be used
}

// atOnce is how many files are written at a time: each waits for the disk.
const atOnce = 8

// writeAll writes those files that are made of something else than before, and
// in a retry those that are not as they should be.
func (e *Engine) writeAll(ctx context.Context, dirs directories, files []file, retry bool) []outcome {
	outcomes := make([]outcome, len(files))
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i, f := range files {
		o := &outcomes[i]
		if d := dirs[f.dir]; d.err != nil {
			o.noDir, o.err = true, d.err
			continue
		}
		if r := e.records[f.label]; r != nil && (r.well || !retry) && slices.Equal(r.parts, f.parts) {
			o.skipped = true
			continue
		}
		group.Go(func() error {
			*o = e.write(ctx, dirs[f.dir].Dir, f)
			return nil
		})
	}
	_ = group.Wait() // none returns an error
	return outcomes
}

// write writes one file.
func (e *Engine) write(ctx context.Context, dir *poolfile.Dir, f file) (o outcome) {
	_, m, err := e.contents(ctx, dir, f)
	if m.data == nil {
		return outcome{err: err}
	}
	var checks []poolfile.Check
	if e.Check != nil {
		checks = append(checks, func(path string) error {
			err := asFile(e.Check.Run(ctx, path), path, f.name)
			o.refused = err != nil
			return err
		})
	}
	var trouble error
	o.what = m.what
	o.wrote, trouble = dir.Replace(f.name, m.data, checks...)
	o.err = errors.Join(trouble, err)
	return o
}

// contents returns what a file holds, and what it is to hold: no data where it
// is to be left alone. The error may stand beside data: what could not be used.
func (e *Engine) contents(ctx context.Context, dir *poolfile.Dir, f file) (old []byte, m made, err error) {
	if f.err != nil {
		return nil, made{}, f.err
	}
	old, err = dir.Read(f.name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, made{}, err
	}
	m, err = f.build(ctx, old)
	if m.data != nil && m.empty && !e.AllowEmpty {
		if m.lost != nil {
			err = errors.Join(fmt.Errorf("%w: kept as it is without --allow-empty", m.lost), err)
		}
		m.data = nil
	}
	return old, m, err
}

// checkError is an error of a check, which knows the new file by the name it
// was staged under. People know it by its own, and one name makes one error of
// two attempts that fail alike.
type checkError struct {
	error
	text string
}

func asFile(err error, staged, name string) error {
	if err == nil {
		return nil
	}
	return checkError{err, strings.ReplaceAll(err.Error(), filepath.Base(staged), filepath.Base(name))}
}

func (e checkError) Error() string { return e.text }

func (e checkError) Unwrap() error { return e.error }
