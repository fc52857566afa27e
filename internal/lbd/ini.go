package lbd

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sluice-lb/sluice/internal/problem"
)

// iniFile is a configuration file as read: the dialect of Python 2's
// SafeConfigParser, values still raw.
type iniFile struct {
	defaults *iniSection
	sections []*iniSection // in the order of their first appearance
}

type iniSection struct {
	name    string
	line    int // of the first header
	options map[string]iniOption
}

// iniOption is one value and where it was written.
type iniOption struct {
	section string // the section it stands in, which may be DEFAULT
	name    string // lower case
	value   string
	line    int
}

func newSection(name string, line int) *iniSection {
	return &iniSection{name: name, line: line, options: make(map[string]iniOption)}
}

// parseINI reads the file. Lines that make no sense go to problems; the rest
// is returned all the same.
func parseINI(data []byte, p *problem.List) *iniFile {
	r := iniReader{file: &iniFile{defaults: newSection("DEFAULT", 0)}, problems: p}
	for i, line := range strings.Split(string(data), "\n") {
		r.line(i+1, strings.TrimSuffix(line, "\r"))
	}
	return r.file
}

// iniReader is where parseINI stands.
type iniReader struct {
	file     *iniFile
	section  *iniSection // nil before the first header
	option   string      // what an indented line continues; may be empty
	problems *problem.List
}

func (r *iniReader) line(n int, line string) {
	switch {
	case !utf8.ValidString(line):
		r.problems.Add(n, "not UTF-8 text")
	case isBlankOrComment(line):
	case isIndented(line) && r.option != "":
		o := r.section.options[r.option]
		o.value += "\n" + strings.TrimSpace(line)
		r.section.options[r.option] = o
	case line[0] == '[':
		r.header(n, line)
	default:
		r.assignment(n, line)
	}
}

func isBlankOrComment(line string) bool {
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return true
	}
	return line[0] == '#' || line[0] == ';' || (!isIndented(line) && strings.EqualFold(fields[0], "rem"))
}

func isIndented(line string) bool {
	first, _ := utf8.DecodeRuneInString(line)
	return unicode.IsSpace(first)
}

func (r *iniReader) header(n int, line string) {
	r.option = ""
	name, _, ok := strings.Cut(line[1:], "]")
	if !ok || name == "" {
		r.problems.Add(n, "section header is not of the form [name]")
		r.section = newSection("", n) // swallows what follows
		return
	}
	if name == r.file.defaults.name {
		r.section = r.file.defaults
		return
	}
	i := slices.IndexFunc(r.file.sections, func(s *iniSection) bool { return s.name == name })
	if i < 0 {
		i = len(r.file.sections)
		r.file.sections = append(r.file.sections, newSection(name, n))
	}
	r.section = r.file.sections[i]
}

func (r *iniReader) assignment(n int, line string) {
	r.option = ""
	i := strings.IndexAny(line, "=:")
	switch {
	case r.section == nil:
		r.problems.Add(n, "text before the first [section]")
		return
	case isIndented(line):
		r.problems.Add(n, "indented line continues nothing")
		return
	case i <= 0:
		r.problems.Add(n, "neither [section] nor option = value")
		return
	}
	name := strings.ToLower(strings.TrimSpace(line[:i]))
	r.section.options[name] = iniOption{section: r.section.name, name: name, value: iniValue(line[i+1:]), line: n}
	r.option = name
}

// iniValue strips blanks and an inline comment: a semicolon behind a blank. A
// value of exactly "" is empty.
func iniValue(s string) string {
	for i := 1; i < len(s); i++ {
		if s[i] == ';' && (s[i-1] == ' ' || s[i-1] == '\t') {
			s = s[:i]
		}
	}
	s = strings.TrimSpace(s)
	if s == `""` {
		return ""
	}
	return s
}

// effective returns the section's options laid over those of [DEFAULT], all
// interpolated. An option that cannot be interpolated goes to problems and is
// returned raw.
func (f *iniFile) effective(s *iniSection, p *problem.List) map[string]iniOption {
	raw := make(map[string]iniOption, len(s.options)+len(f.defaults.options))
	for _, from := range []*iniSection{f.defaults, s} {
		for name, o := range from.options {
			raw[name] = o
		}
	}
	options := make(map[string]iniOption, len(raw))
	for name, o := range raw {
		in := interpolation{section: s.name, options: raw}
		if err := in.expand(o.value, 0); err != nil {
			p.Add(o.line, "[%s] %s: %v", o.section, name, err)
		} else {
			o.value = in.text.String()
		}
		options[name] = o
	}
	return options
}

// Bounds on %(name)s: the depth is SafeConfigParser's own, the size keeps a
// file of doublings from filling the memory.
const (
	maxInterpolationDepth = 10
	maxInterpolatedSize   = 1 << 16
)

// interpolation is one value being put together.
type interpolation struct {
	section string
	options map[string]iniOption
	text    strings.Builder
	steps   int
}

func (in *interpolation) expand(raw string, depth int) error {
	in.steps++
	switch {
	case depth > maxInterpolationDepth:
		return fmt.Errorf("interpolation is nested more than %d deep", maxInterpolationDepth)
	case in.text.Len()+len(raw) > maxInterpolatedSize || in.steps > maxInterpolatedSize:
		return errors.New("interpolated value is too long")
	}
	for {
		plain, rest, found := strings.Cut(raw, "%")
		in.text.WriteString(plain)
		if !found {
			return nil
		}
		if strings.HasPrefix(rest, "%") {
			in.text.WriteByte('%')
			raw = rest[1:]
			continue
		}
		end := strings.Index(rest, ")s")
		if !strings.HasPrefix(rest, "(") || end < 0 {
			return errors.New(`a bare "%" must be written "%%"`)
		}
		if err := in.reference(rest[1:end], depth); err != nil {
			return err
		}
		raw = rest[end+2:]
	}
}

func (in *interpolation) reference(name string, depth int) error {
	name = strings.ToLower(name)
	if name == "__name__" {
		in.text.WriteString(in.section)
		return nil
	}
	o, ok := in.options[name]
	if !ok {
		return fmt.Errorf("%%(%s)s refers to no option", name)
	}
	return in.expand(o.value, depth+1)
}
