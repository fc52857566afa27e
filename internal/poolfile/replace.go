package poolfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Check looks at a new file before it takes the old one's place; path is where
// it lies until then. An error keeps the old file.
type Check func(path string) error

// newMode is the mode of a file that was not there before.
const newMode fs.FileMode = 0o644

// Replace puts data in place of the file at path, or makes that file: whole or
// not at all, whoever is reading, whatever fails. A file that holds data
// already is left untouched. The mode is kept, and by root the owner. What stands at path must be a
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
	var was fs.FileInfo
	old, err := d.Read(name)
	switch {
	case err == nil && bytes.Equal(old, data):
		return false, nil
	case err == nil:
		was, err = d.root.Lstat(name)
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	}
	if err == nil {
		err = d.replace(name, data, was, checks)
	}
	if err != nil {
		return false, fmt.Errorf("replace %s: %w", path, err)
	}
	return true, nil
}

// replace writes a file of its own beside the old one and renames it.
func (d *Dir) replace(name string, data []byte, was fs.FileInfo, checks []Check) error {
	parent := filepath.Dir(name)
	if err := d.root.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	staged := filepath.Join(parent, stage(filepath.Base(name)))
	f, err := d.root.OpenFile(staged, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return plain(err)
	}
	defer f.Close() // only now does its lock go: Sweep is not to have it
	err = plain(write(f, data, was))
	for _, check := range checks {
		if err != nil {
			break
		}
		if err = check(filepath.Join(d.root.Name(), staged)); err != nil {
			err = fmt.Errorf("check: %w", err)
		}
	}
	if err == nil {
		err = plain(d.root.Rename(staged, name))
	}
	if err != nil {
		_ = d.root.Remove(staged)
		return err
	}
	return d.sync(parent)
}

// write fills a new file, on the disk when it returns, and gives it the mode
// and, where only root could have made it so, the owner of the old one.
func write(f *os.File, data []byte, was fs.FileInfo) error {
	lock(f)
	if _, err := f.Write(data); err != nil {
		return err
	}
	mode := newMode
	if was != nil {
		mode = was.Mode().Perm()
	}
	if owner, ok := ownerOf(was); ok && os.Geteuid() == 0 && (owner.Uid != 0 || owner.Gid != 0) {
		if err := f.Chown(int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
	}
	// The umask has no say in what those who read pools may read.
	if err := f.Chmod(mode); err != nil {
		return err
	}
	return f.Sync()
}

// ownerOf returns who owns a file.
func ownerOf(info fs.FileInfo) (*syscall.Stat_t, bool) {
	if info == nil {
		return nil, false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return stat, ok
}

// plain takes off what differs between two attempts that fail alike: the
// staged file's name.
func plain(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%s: %w", e.Op, e.Err)
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return fmt.Errorf("%s: %w", e.Op, e.Err)
	}
	return err
}

// sync makes a rename in the directory last.
func (d *Dir) sync(name string) error {
	f, err := d.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
