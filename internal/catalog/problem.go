package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// problems collects everything that is wrong with one file, so that its
// owner sees it all at once.
type problems struct {
	file string
	list []problem
}

type problem struct {
	line int
	text string
}

func (p *problems) add(line int, format string, args ...any) {
	p.list = append(p.list, problem{line: line, text: fmt.Sprintf(format, args...)})
}

// err joins the problems in the order of their lines, each once; nil if there
// are none.
func (p *problems) err() error {
	slices.SortFunc(p.list, func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.text, b.text))
	})
	var errs []error
	for _, q := range slices.Compact(p.list) {
		errs = append(errs, fmt.Errorf("%s: line %d: %s", p.file, q.line, q.text))
	}
	return errors.Join(errs...)
}
