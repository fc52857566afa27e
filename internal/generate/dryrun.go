package generate

import (
	"context"
	"fmt"
	"io"

	"github.com/rogpeppe/go-internal/diff"
)

// DryRun writes what Once would change, as a unified diff, and reports whether
// all files would then be as the store says. It changes nothing and runs no
// hook.
func (e *Engine) DryRun(ctx context.Context, w io.Writer) (bool, error) {
	snaps, err := e.read(ctx)
	if err != nil {
		return false, err
	}
	p, err := e.Kind.plan(snaps)
	e.tellStray(p.stray)
	if e.tell("store", err); err != nil {
		return false, nil
	}
	for _, f := range p.files {
		difference, err := e.difference(ctx, f)
		e.tell(f.label, err)
		if _, err := w.Write(difference); err != nil {
			return false, fmt.Errorf("print: %w", err)
		}
	}
	return len(e.told) == 0, ctx.Err()
}

// difference is what would change in one file. The error may stand beside it.
func (e *Engine) difference(ctx context.Context, f file) ([]byte, error) {
	d := openDirectory(f.dir)
	if d.err != nil {
		return nil, fmt.Errorf("directory %s: %w", f.dir, readError(d.err))
	}
	defer d.Close()
	old, m, err := e.contents(ctx, d.Dir, f)
	if m.data == nil {
		return nil, err
	}
	name, was := f.path(), f.path()
	if old == nil {
		was = "/dev/null"
	}
	return diff.Diff(was, old, name, m.data), err
}
