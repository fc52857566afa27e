package generate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-lb/sluice/internal/poolfile"
	"github.com/sluice-lb/sluice/pkg/state"
)

// record is what is known of one file.
type record struct {
	parts   []any // what it was last made of
	current bool  // it need not be looked at while its parts are the same
}

// pass brings every file to what the snapshots say. What it cannot write it
// tells of, and leaves.
func (e *Engine) pass(ctx context.Context, snaps []state.Snapshot) {
	p, err := e.Kind.plan(snaps)
	for _, s := range p.stray {
		if len(s.keys) > 0 {
			e.Report.Stray(s.t, s.keys)
		}
	}
	e.barren = err
	if e.tellStore(); err != nil {
		return
	}
	dirs := e.open(p.files)
	defer dirs.close()
	outcomes := e.writeAll(ctx, dirs, p.files)
	if ctx.Err() != nil {
		return // what was interrupted is not at fault
	}
	for i, f := range p.files {
		e.note(f, outcomes[i])
	}
	e.vanished(p.files)
	if e.reload && e.Reload != nil {
		err := e.Reload.Run(ctx, "")
		e.tell("reload", err)
		e.reload = err != nil
	}
}

// note takes what came of one file.
func (e *Engine) note(f file, o outcome) {
	if o.skipped {
		return
	}
	e.records[f.label] = &record{parts: f.parts, current: o.err == nil}
	if !o.noDir {
		e.tell(f.label, o.err)
	}
	if o.wrote {
		e.reload = true
		e.Report.Wrote(f.label, o.what)
	}
}

// vanished tells of files of pools that are no more: they still say what the
// pools last said.
func (e *Engine) vanished(files []file) {
	there := make(map[string]bool, len(files))
	for _, f := range files {
		there[f.label] = true
	}
	for label := range e.records {
		if !there[label] {
			e.tell(label, errors.New("its pool is no more: kept as it is"))
		}
	}
}

// forget has every file looked at again.
func (e *Engine) forget() {
	for _, r := range e.records {
		r.current = false
	}
}

// directory is a directory as a pass found it.
type directory struct {
	*poolfile.Dir
	info fs.FileInfo
	err  error
}

// directories are those that files of a pass lie in, by path.
type directories map[string]directory

func (d directories) close() {
	for _, dir := range d {
		if dir.err == nil {
			_ = dir.Close()
		}
	}
}

// open opens the files' directories, anew for every pass: any of them may have
// been removed and made again. In a new one no file is what it was.
func (e *Engine) open(files []file) directories {
	dirs := directories{}
	for _, f := range files {
		if _, ok := dirs[f.dir]; ok {
			continue
		}
		d := openDirectory(f.dir)
		dirs[f.dir] = d
		e.tell(f.dir, d.err)
		if was, ok := e.dirs[f.dir]; ok && (d.err != nil || was.err != nil || !os.SameFile(d.info, was.info)) {
			e.forget()
		}
		e.dirs[f.dir] = directory{info: d.info, err: d.err}
	}
	return dirs
}

func openDirectory(path string) (d directory) {
	if d.Dir, d.err = poolfile.OpenDir(path); d.err != nil {
		return d
	}
	d.info, d.err = d.Stat()
	return d
}

// outcome is what came of one file.
type outcome struct {
	skipped bool // nothing was to be done
	noDir   bool // there is no directory to write to, which is told elsewhere
	wrote   bool
	what    string // it holds now
	err     error  // beside a written file: what could not be used
}

// atOnce is how many files are written at a time: each waits for the disk.
const atOnce = 8

// writeAll writes those files that are made of something else than before.
func (e *Engine) writeAll(ctx context.Context, dirs directories, files []file) []outcome {
	outcomes := make([]outcome, len(files))
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i, f := range files {
		o := &outcomes[i]
		if r := e.records[f.label]; r != nil && r.current && slices.Equal(r.parts, f.parts) {
			o.skipped = true
			continue
		}
		if d := dirs[f.dir]; d.err != nil {
			o.noDir, o.err = true, d.err
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
	if f.err != nil {
		return outcome{err: f.err}
	}
	old, err := dir.Read(f.name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return outcome{err: err}
	}
	m, trouble := f.build(ctx, old)
	if err := e.acceptable(m); err != nil || m.data == nil || m.empty && !e.AllowEmpty {
		return outcome{err: errors.Join(err, trouble)}
	}
	var checks []poolfile.Check
	if e.Check != nil {
		checks = append(checks, func(path string) error { return e.Check.Run(ctx, path) })
	}
	o.what = m.what
	o.wrote, err = dir.Replace(f.name, m.data, checks...)
	o.err = errors.Join(err, trouble)
	return o
}

// acceptable refuses contents that would lose what there is.
func (e *Engine) acceptable(m made) error {
	if m.data != nil && m.empty && m.lost != nil && !e.AllowEmpty {
		return fmt.Errorf("%w: kept as it is without --allow-empty", m.lost)
	}
	return nil
}
