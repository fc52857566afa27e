package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-lb/sluice/internal/poolfile"
	"github.com/sluice-lb/sluice/pkg/state"
)

// fileWriter brings the files to what the store says.
type fileWriter struct {
	*generation
	dir     *poolfile.Dir
	nodes   *nodeReader
	check   hook
	reload  hook
	written map[string]string // fingerprint by file
	said    map[string]string // complaint by file, "store" or "reload"
}

// pass writes every file that is not as the entries say and reports whether
// all of them are now. What it cannot write it complains about, and leaves.
func (w *fileWriter) pass(ctx context.Context, entries []state.Entry) bool {
	files := arrange(w.layout, w.nodes.pools(entries))
	if len(files) == 0 {
		w.complain("store", errors.New("holds no nodes: nothing written"))
		return false
	}
	outcomes := w.writeAll(ctx, files)
	changed := 0
	for i, f := range files {
		o := outcomes[i]
		if o.current {
			continue
		}
		w.written[f.name] = o.mark
		w.complain(f.name, o.err)
		if o.wrote {
			changed++
			if !w.quiet {
				fmt.Fprintf(w.env.Stdout, "%s: %d hosts\n", f.name, o.hosts)
			}
		}
	}
	w.vanished(files)
	if changed > 0 && w.reload != nil {
		w.complain("reload", w.reload.run(ctx, ""))
	}
	return len(w.said) == 0
}

// outcome is what came of one file.
type outcome struct {
	mark    string
	current bool // nothing was to be done
	hosts   int
	wrote   bool
	err     error // beside a written file: what could not be used
}

// atOnce is how many files are written at a time: each waits for the disk.
const atOnce = 8

// writeAll writes those files whose pools have changed.
func (w *fileWriter) writeAll(ctx context.Context, files []generatedFile) []outcome {
	outcomes := make([]outcome, len(files))
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i, f := range files {
		o := &outcomes[i]
		o.mark = f.fingerprint()
		if was, ok := w.written[f.name]; ok && was == o.mark {
			o.current = true
			continue
		}
		group.Go(func() error {
			o.hosts, o.wrote, o.err = w.write(ctx, f)
			return nil
		})
	}
	_ = group.Wait() // none returns an error
	return outcomes
}

// write writes one file.
func (w *fileWriter) write(ctx context.Context, f generatedFile) (hosts int, wrote bool, err error) {
	if f.err != nil {
		return 0, false, f.err
	}
	old, err := w.dir.Read(f.name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, false, err
	}
	data, hosts, trouble := w.layout.render(f.pools, old)
	if data == nil {
		return 0, false, trouble
	}
	if hosts == 0 && !w.allowEmpty {
		if n := w.layout.hosts(old); n > 0 {
			return 0, false, errors.Join(fmt.Errorf("nobody would be left of %d: kept as it is without --allow-empty", n), trouble)
		}
		return 0, false, trouble // nobody, as before
	}
	var checks []poolfile.Check
	if w.check != nil {
		checks = append(checks, func(path string) error { return w.check.run(ctx, path) })
	}
	wrote, err = w.dir.Replace(f.name, data, checks...)
	return hosts, wrote, errors.Join(err, trouble)
}

// vanished complains about files of pools that are no more: they still say what
// the pools last said.
func (w *fileWriter) vanished(files []generatedFile) {
	for name := range w.written {
		if !slices.ContainsFunc(files, func(f generatedFile) bool { return f.name == name }) {
			w.complain(name, errors.New("its pool is no more: kept as it is"))
		}
	}
}

// complain says what is wrong with a file, once, and when it no longer is.
func (w *fileWriter) complain(about string, err error) {
	if err == nil {
		if _, was := w.said[about]; was {
			fmt.Fprintf(w.env.Stderr, "confctl: %s: well again\n", about)
		}
		delete(w.said, about)
		return
	}
	if text := (oneLine{err}).Error(); w.said[about] != text {
		fmt.Fprintf(w.env.Stderr, "confctl: %s: %s\n", about, text)
		w.said[about] = text
	}
}
