package poolfile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// stagedLetters is how long the part of a staged file's name is that tells it
// from others.
const stagedLetters = 8

// stage returns a name for a file that is to take the place of base.
func stage(base string) string { return "." + base + "." + rand.Text()[:stagedLetters] }

// unstage returns the file that a staged file was to take the place of.
func unstage(name string) (base string, ok bool) {
	cut := len(name) - stagedLetters - 1
	if cut < 2 || name[0] != '.' || name[cut] != '.' {
		return "", false
	}
	odd := func(r rune) bool { return (r < 'A' || r > 'Z') && (r < '2' || r > '7') } // no letter of rand.Text
	return name[1:cut], !strings.ContainsFunc(name[cut+1:], odd)
}

// lock marks a staged file as one that somebody is at, until it is closed or
// its writer has died. Where there are no locks, Sweep leaves it alone, too.
func lock(f *os.File) { _ = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }

// Sweep removes what writers of the files of these names have left behind when
// they were killed, and nothing else.
func (d *Dir) Sweep(names ...string) error {
	byParent := map[string]map[string]bool{}
	for _, name := range names {
		parent := filepath.Dir(name)
		if byParent[parent] == nil {
			byParent[parent] = map[string]bool{}
		}
		byParent[parent][filepath.Base(name)] = true
	}
	var errs []error
	for parent, bases := range byParent {
		entries, err := fs.ReadDir(d.root.FS(), parent)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		for _, e := range entries {
			if base, ok := unstage(e.Name()); ok && bases[base] && e.Type().IsRegular() {
				errs = append(errs, d.sweep(filepath.Join(parent, e.Name())))
			}
		}
	}
	return errors.Join(errs...)
}

// sweep removes a staged file that nobody is at.
func (d *Dir) sweep(staged string) error {
	f, err := d.root.Open(staged)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove leftover: %w", err)
	}
	defer f.Close()
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return nil
	}
	if err := d.root.Remove(staged); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove leftover: %w", err)
	}
	return nil
}
