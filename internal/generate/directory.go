package generate

import (
	"errors"
	"io/fs"
	"os"

	"github.com/sluice-lb/sluice/internal/poolfile"
)

// directory is a directory as a pass found it.
type directory struct {
	*poolfile.Dir
	info fs.FileInfo
	err  error
}

func openDirectory(path string) (d directory) {
	if d.Dir, d.err = poolfile.OpenDir(path); d.err == nil {
		d.info, d.err = d.Stat()
	}
	return d
}

// same tells whether both are there and one.
func (d directory) same(other directory) bool {
	return d.info != nil && other.info != nil && os.SameFile(d.info, other.info)
}

// directories are those that files of a pass lie in, by path.
type directories map[string]directory

func (d directories) close() {
	for _, dir := range d {
		if dir.Dir != nil {
			_ = dir.Close()
		}
	}
}

// open opens the files' directories, anew for every pass: any of them may have
// been removed and made again. In a new one no file is what it was, and there
// may be leftovers.
func (e *Engine) open(files []file) directories {
	names := map[string][]string{}
	for _, f := range files {
		if f.err == nil {
			names[f.dir] = append(names[f.dir], f.name)
		}
	}
	dirs := directories{}
	for path, names := range names {
		d := openDirectory(path)
		err := d.err
		if err == nil && !d.same(e.dirs[path]) {
			e.forget(path)
			err = d.Sweep(names...)
		}
		e.tell(path, readError(err))
		e.unsettled = e.unsettled || err != nil
		dirs[path] = d
		e.dirs[path] = directory{info: d.info}
	}
	return dirs
}

// forget has every file in the directory looked at again; "" is in any.
func (e *Engine) forget(dir string) {
	for _, r := range e.records {
		if dir == "" || r.dir == dir {
			r.parts = nil
		}
	}
}

// readError shows an error without the path, which stands before it.
func readError(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
