package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/sluice-lb/sluice/internal/poolfile"
)

// settle is how long a file must have been left alone before it is read: one
// that is written in place is not whole before. It is also how long a file may
// be missing, between an unlink and its successor, before that is trouble.
const settle = 50 * time.Millisecond

// rereadAfter is how long a file whose stat does not change is trusted to be
// the same: a write may leave time and size as they were.
const rereadAfter = 10 * time.Second

// followFile follows a pool file until ctx ends: by the kernel's notices where
// they come, and by looking every second in any case.
func (s *Sources) followFile(ctx context.Context, path string, f *follower) error {
	changed, leave := s.notices.join(path)
	defer leave()
	r := fileReader{path: path}
	for {
		s.notices.ensure(path)
		wait := r.look(f, time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-time.After(wait):
		}
	}
}

// fileReader reads one file when it has changed.
type fileReader struct {
	path    string
	last    fs.FileInfo // of what was read; nil: read it in any case
	read    time.Time
	missing time.Time // since when; zero if it is there
}

// look reads the file if it may have changed and returns when to look again.
func (r *fileReader) look(f *follower, now time.Time) time.Duration {
	info, err := os.Stat(r.path)
	if errors.Is(err, fs.ErrNotExist) && r.briefly(now) {
		return settle
	}
	if err == nil {
		r.missing = time.Time{}
		err = readable(info)
	}
	if err != nil {
		r.last = nil
		f.fail(fmt.Errorf("read pool file %s: %w", r.path, plain(err)))
		return pollEvery
	}
	if r.last != nil && same(info, r.last) && now.Sub(r.read) < rereadAfter {
		f.unchanged()
		return pollEvery
	}
	if age := now.Sub(info.ModTime()); age >= 0 && age < settle {
		return settle - age
	}
	data, err := read(r.path)
	if err != nil {
		f.fail(fmt.Errorf("read pool file %s: %w", r.path, plain(err)))
		return pollEvery
	}
	if after, err := os.Stat(r.path); err != nil || !same(after, info) {
		return settle // somebody is at it
	}
	r.last, r.read = info, now
	if !f.declare(data, poolfile.FormOf(r.path)) {
		r.last = nil
	}
	return pollEvery
}

// briefly tells whether a file that is not there may just be on its way.
func (r *fileReader) briefly(now time.Time) bool {
	if r.missing.IsZero() {
		r.missing = now
	}
	return now.Sub(r.missing) < settle
}

// readable refuses what a read could block on or never end.
func readable(info fs.FileInfo) error {
	switch {
	case !info.Mode().IsRegular():
		return errors.New("not a regular file")
	case info.Size() > maxText:
		return errTooLarge
	}
	return nil
}

var errTooLarge = fmt.Errorf("larger than %d MiB", maxText>>20)

func same(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

func read(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readText(file)
}

// readText reads all there is, up to the bound.
func readText(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxText+1))
	if err == nil && len(data) > maxText {
		err = errTooLarge
	}
	return data, err
}

// plain takes off the path an error repeats.
func plain(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
