package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sluice-lb/sluice/pkg/objects"
)

// maxTreeFile is the largest file of a tree, a hundred times what a large site
// has.
const maxTreeFile = 16 << 20

// tree is a directory with a directory of *.yaml files for each type. No link
// leads out of it.
type tree struct {
	dir  string
	root *os.Root
}

// declared is what the files of one type say.
type declared struct {
	present  bool // there is a directory
	complete bool // all that is in it could be read
	keys     map[objects.Key]bool
	trouble  []error // why not
}

func openTree(dir string) (tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return tree{}, withExit(exitUsage, readError("directory", dir, err))
	}
	return tree{dir: dir, root: root}, nil
}

func (t tree) close() { _ = t.root.Close() }

// read returns what a type's files declare.
func (t tree) read(typ *objects.Type) declared {
	d := declared{present: true, keys: make(map[objects.Key]bool)}
	files, err := t.files(typ.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return declared{trouble: []error{fmt.Errorf("no directory %s", filepath.Join(t.dir, typ.Name))}}
	}
	if err != nil {
		d.trouble = append(d.trouble, err)
	}
	for _, file := range files {
		keys, err := t.parse(typ, file)
		if err != nil {
			d.trouble = append(d.trouble, err)
		}
		for _, k := range keys {
			d.keys[k] = true
		}
	}
	d.complete = len(d.trouble) == 0
	return d
}

// files returns the *.yaml files of a type's directory. That there are none is
// an error: a tree that was not checked out wants nothing removed.
func (t tree) files(name string) ([]string, error) {
	dir := filepath.Join(t.dir, name)
	f, err := t.root.Open(name)
	if err != nil {
		return nil, readError("directory", dir, err)
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	if err != nil {
		return nil, readError("directory", dir, err)
	}
	var files []string
	for _, e := range entries {
		if n := e.Name(); filepath.Ext(n) == ".yaml" && n[0] != '.' {
			files = append(files, filepath.Join(name, n))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no *.yaml in %s", dir)
	}
	return files, nil
}

// parse reads one file.
func (t tree) parse(typ *objects.Type, name string) ([]objects.Key, error) {
	path := filepath.Join(t.dir, name)
	data, err := t.contents(name)
	if err != nil {
		return nil, readError("file", path, err)
	}
	return typ.ParseTree(data, path)
}

// contents returns what a file holds, if it is one and not beyond all measure.
func (t tree) contents(name string) ([]byte, error) {
	info, err := t.root.Stat(name) // before it is opened: a pipe would wait for its writer
	if link, lerr := t.root.Readlink(name); err != nil && lerr == nil {
		return nil, fmt.Errorf("link to %s: %w", link, errors.Unwrap(err))
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := t.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxTreeFile+1))
	if err == nil && len(data) > maxTreeFile {
		err = fmt.Errorf("larger than %d bytes", maxTreeFile)
	}
	return data, err
}
