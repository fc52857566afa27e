// Package problem collects everything that is wrong with one file, so that its
// owner sees it all at once.
package problem

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// List is what is wrong with a file. The zero List but for File is ready for
// use.
type List struct {
	// File names the file in errors.
	File string
	list []problem
}

type problem struct {
	line int
	text string
}

// Add notes what is wrong on a line.
func (l *List) Add(line int, format string, args ...any) {
	l.list = append(l.list, problem{line: line, text: fmt.Sprintf(format, args...)})
}

// Empty tells whether nothing is wrong so far.
func (l *List) Empty() bool { return len(l.list) == 0 }

// Err joins the problems in the order of their lines, each once, as "FILE: line
// N: …"; nil if there are none.
func (l *List) Err() error {
	slices.SortFunc(l.list, func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.text, b.text))
	})
	var errs []error
	for _, p := range slices.Compact(l.list) {
		errs = append(errs, fmt.Errorf("%s: line %d: %s", l.File, p.line, p.text))
	}
	return errors.Join(errs...)
}
