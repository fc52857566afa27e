package catalog

import (
	"bytes"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sluice-lb/sluice/internal/problem"
)

// header is where a section of an INI file begins.
type header struct {
	name string
	line int
}

// sections returns the headers of an INI file, and complains about what stands
// before the first one or is none.
func sections(data []byte, p *problem.List) []header {
	var headers []header
	if !utf8.Valid(data) {
		p.Add(1, "not UTF-8 text")
		return nil
	}
	for i, line := range strings.Split(string(data), "\n") {
		name, _, ok := strings.Cut(strings.TrimPrefix(line, "["), "]")
		switch {
		case strings.HasPrefix(line, "[") && ok && name != "":
			headers = append(headers, header{name, i + 1})
		case strings.HasPrefix(line, "["):
			p.Add(i+1, "section header is not of the form [name]")
		case len(headers) == 0 && !blankOrComment(line):
			p.Add(i+1, "text before the first [section]")
		}
	}
	return headers
}

// blankOrComment tells whether a line says nothing.
func blankOrComment(line string) bool {
	fields := strings.FieldsFunc(line, unicode.IsSpace)
	return len(fields) == 0 || line[0] == '#' || line[0] == ';' || strings.HasPrefix(line, fields[0]) && strings.EqualFold(fields[0], "rem")
}

// Services returns the services that a pybal.conf names, each once, in order:
// its sections but for [global] and [DEFAULT].
func Services(conf []byte) []string {
	var names []string
	for _, h := range sections(bytes.ToValidUTF8(conf, []byte("?")), &problem.List{}) {
		if h.name != "global" && h.name != "DEFAULT" && !slices.Contains(names, h.name) {
			names = append(names, h.name)
		}
	}
	return names
}
