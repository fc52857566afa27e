package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sluice-lb/sluice/internal/problem"
)

// openYAML reads a file of exactly one, non-empty document.
func openYAML(data []byte, file string) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var root yaml.Node
	if err := dec.Decode(&root); errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: empty", file)
	} else if err != nil {
		return nil, syntaxError(data, file, err)
	}
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		return nil, fmt.Errorf("%s: line %d: more than one document", file, second.Line)
	} else if !errors.Is(err, io.EOF) {
		return nil, syntaxError(data, file, err)
	}
	return root.Content[0], nil
}

// syntaxError says what is wrong with a file that is no YAML. What the parser
// says of a tab does not name it, nor always its line.
func syntaxError(data []byte, file string, err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if strings.Contains(text, "tab character") || strings.Contains(text, "cannot start any token") {
		for i, line := range strings.Split(string(data), "\n") {
			if indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]; strings.Contains(indent, "\t") {
				return fmt.Errorf("%s: line %d: indented by a tab, where YAML wants blanks", file, i+1)
			}
		}
	}
	return fmt.Errorf("%s: %s", file, strings.Join(strings.Fields(text), " "))
}

// maxNodes bounds how much of a document is looked at, in which everything
// counts as often as an alias leads there: a small file whose aliases multiply
// would have no end. A real catalog has some thousands.
const maxNodes = 1 << 18

// reader walks a document.
type reader struct {
	problem.List
	left  int
	spent bool
}

// value is a part of a document and what errors call it.
type value struct {
	key     string // in the mapping it stands in
	name    string // "service web: lvs.class"
	keyLine int
	line    int
	node    *yaml.Node
}

// there tells whether there is anything.
func (v value) there() bool { return v.node != nil }

func (r *reader) bad(v value, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	if v.name != "" {
		what = v.name + ": " + what
	}
	r.Add(v.line, "%s", what)
}

// follow counts a node and returns where it leads. After the last one that may
// be looked at everything is empty.
func (r *reader) follow(n *yaml.Node) *yaml.Node {
	if r.left--; r.left < 0 {
		r.spent = true
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: n.Line}
	}
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func (r *reader) err() error {
	if r.spent {
		return fmt.Errorf("%s: more than %d values once aliases are followed", r.File, maxNodes)
	}
	return r.Err()
}

// mapping returns the values of a mapping, in order; those a merge key ("<<")
// brings in come last. A key that stands twice is a problem, and the first
// holds.
func (r *reader) mapping(v value) ([]value, bool) {
	if v.node.Kind != yaml.MappingNode {
		r.bad(v, "want a mapping, got %s", describe(v.node))
		return nil, false
	}
	var values []value
	seen := map[string]int{}
	r.collect(v, seen, &values, 0)
	return values, true
}

// collect adds the keys of a mapping that are not among those seen.
func (r *reader) collect(v value, seen map[string]int, values *[]value, depth int) {
	own := map[string]int{} // line by key
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		key := r.follow(v.node.Content[i])
		if key.ShortTag() == "!!merge" {
			continue
		}
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!null" || key.Value == "" {
			r.bad(value{name: v.name, line: key.Line}, "a key is %s, want a name", describe(key))
			continue
		}
		child := value{key: key.Value, name: inside(v.name, key.Value), keyLine: key.Line}
		if first, twice := own[key.Value]; twice {
			r.bad(value{name: child.name, line: key.Line}, "stands twice, first in line %d", first)
			continue
		}
		own[key.Value] = key.Line
		if _, hidden := seen[key.Value]; hidden {
			continue
		}
		seen[key.Value] = key.Line
		child.node = r.follow(v.node.Content[i+1])
		child.line = child.node.Line
		*values = append(*values, child)
	}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		if v.node.Content[i].ShortTag() == "!!merge" {
			r.merge(v, v.node.Content[i+1], seen, values, depth+1)
		}
	}
}

// maxMerges bounds how deep mappings may merge others: an alias within its own
// anchor has no end.
const maxMerges = 32

// merge adds what a merge key brings in: the keys of a mapping, or of a list of
// mappings of which the first to have a key wins.
func (r *reader) merge(v value, n *yaml.Node, seen map[string]int, values *[]value, depth int) {
	n = r.follow(n)
	from := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		from = n.Content
	}
	for _, n := range from {
		n = r.follow(n)
		at := value{name: inside(v.name, "<<"), line: n.Line, node: n}
		switch {
		case n.Kind != yaml.MappingNode:
			r.bad(at, "want a mapping, got %s", describe(n))
		case depth > maxMerges:
			r.bad(at, "merges are nested more than %d deep", maxMerges)
			return
		default:
			at.name = v.name
			r.collect(at, seen, values, depth)
		}
	}
}

// inside names a part of what has a name.
func inside(name, key string) string {
	key = shown(key)
	switch {
	case name == "":
		return key
	case strings.Contains(name, ": "):
		return name + "." + key
	}
	return name + ": " + key
}
