package generate

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// Kind is one kind of files, and says what each of them holds.
type Kind interface {
	// reads returns the paths below the store's root that the files are made
	// of, each with its final "/".
	reads() []string
	// plan says which files there are to be, given one snapshot for each of
	// the paths. Its error means that nothing is to be written.
	plan([]state.Snapshot) (plan, error)
	// out is where the files lie, in words that tell one run from another.
	out() string
	// locate finds the file that is served under a path, "pybal/eqiad/web".
	locate(path string) (place, bool)
}

// plan is what a store's contents make of files.
type plan struct {
	files []file
	stray []stray
}

// stray are keys that are no objects of the type they lie below.
type stray struct {
	t    *objects.Type
	keys []string
}

// place is where a file lies: a directory, and a path below it that no link
// may lead away from.
type place struct{ dir, name string }

func (p place) path() string { return filepath.Join(p.dir, p.name) }

// file is one file to be kept.
type file struct {
	place
	label string // what it is called where people read of it
	// parts are what it is made of: of equal parts, each by ==, the same file
	// is made.
	parts []any
	// build makes its contents. old are those it has, nil if there is none.
	build func(ctx context.Context, old []byte) (made, error)
	err   error // why it cannot be made
}

// made is a file's contents.
type made struct {
	data []byte // nil: leave the file as it is
	what string // in words: "3 hosts"
	// empty contents are only written where that is allowed; lost says what
	// would be lost with the old ones.
	empty bool
	lost  error
}

// checkName refuses what an object's key could make of a path. Names that
// begin with a point are those of files not finished yet.
func checkName(name string) error {
	hidden := func(part string) bool { return part == "" || part[0] == '.' }
	if !fs.ValidPath(name) || slices.ContainsFunc(strings.Split(name, "/"), hidden) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		return fmt.Errorf("%q is no name for a file", name)
	}
	return nil
}
