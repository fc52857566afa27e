package poolfile

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Check looks at a new file before it takes the old one's place; path is where
// it lies until then. An error keeps the old file.
type Check func(path string) error

// newMode is the mode of a file that was not there before.
const newMode fs.FileMode = 0o644

// Replace puts data in place of the file at path, or makes that file: whole or
// not at all, whoever is reading, whatever fails. A file that holds data
// already is left untouched. The mode is kept. What stands at path must be a
// regular file: a symbolic link is never followed.
func Replace(path string, data []byte, checks ...Check) (changed bool, err error) {
	dir, err := OpenDir(filepath.Dir(path))
	if err != nil {
		return false, fmt.Errorf("replace %s: %w", path, err)
	}
	defer dir.Close()
	return dir.Replace(filepath.Base(path), data, checks...)
}

// Dir is a directory with pool files below it. No link leads out of it.
type Dir struct{ root *os.Root }

// OpenDir opens a directory.
func OpenDir(path string) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &Dir{root}, nil
}

// Close lets go of the directory.
func (d *Dir) Close() error { return d.root.Close() }

// FS returns the files below the directory.
func (d *Dir) FS() fs.FS { return d.root.FS() }

// Stat tells which directory it is.
func (d *Dir) Stat() (fs.FileInfo, error) { return d.root.Stat(".") }

// Read returns a regular file's contents; name is relative to the directory.
// That there is none is an fs.ErrNotExist.
func (d *Dir) Read(name string) ([]byte, error) {
	info, err := d.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read %s: not a regular file", name)
	}
	return d.root.ReadFile(name)
}

// Remove takes a regular file away; that there is none is an fs.ErrNotExist.
func (d *Dir) Remove(name string) error {
	info, err := d.root.Lstat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err == nil {
		err = d.root.Remove(name)
	}
	if err == nil {
		err = d.sync(filepath.Dir(name))
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", filepath.Join(d.root.Name(), name), err)
	}
	return nil
}

// Replace is the function Replace for a file below the directory, whose own
// directories it makes.
func (d *Dir) Replace(name string, data []byte, checks ...Check) (changed bool, err error) {
	path := filepath.Join(d.root.Name(), name)
	mode := newMode
	old, err := d.Read(name)
	switch {
	case err == nil && bytes.Equal(old, data):
		return false, nil
	case err == nil:
		if info, err := d.root.Lstat(name); err == nil {
			mode = info.Mode().Perm()
		}
	case !errors.Is(err, fs.ErrNotExist):
		return false, fmt.Errorf("replace %s: %w", path, err)
	}
	if err := d.replace(name, data, mode, checks); err != nil {
		return false, fmt.Errorf("replace %s: %w", path, err)
	}
	return true, nil
}

// replace writes a file of its own beside the old one and renames it.
func (d *Dir) replace(name string, data []byte, mode fs.FileMode, checks []Check) (err error) {
	parent := filepath.Dir(name)
	if err := d.root.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	staged := filepath.Join(parent, "."+filepath.Base(name)+"."+rand.Text()[:8])
	defer func() {
		if err != nil {
			_ = d.root.Remove(staged)
		}
	}()
	if err := d.write(staged, data, mode); err != nil {
		return err
	}
	for _, check := range checks {
		if err := check(filepath.Join(d.root.Name(), staged)); err != nil {
			return fmt.Errorf("check: %w", err)
		}
	}
	if err := d.root.Rename(staged, name); err != nil {
		return err
	}
	return d.sync(parent)
}

// write makes a new file whose contents are on the disk when it returns.
func (d *Dir) write(name string, data []byte, mode fs.FileMode) error {
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, bytes.NewReader(data))
	// The umask has no say in what those who read pools may read.
	return errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
}

// sync makes a rename in the directory last.
func (d *Dir) sync(name string) error {
	f, err := d.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
