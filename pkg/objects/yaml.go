package objects

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// maxNodes bounds how many nodes one document may have once its aliases are
// expanded: a few hundred times what the largest real tree has.
const maxNodes = 1 << 20

// maxDepth bounds nesting, which an alias within its own anchor makes endless.
const maxDepth = 100

// document is one YAML file being walked. It counts what is visited, so that
// a small file whose aliases multiply cannot grow without end.
type document struct {
	file  string
	left  int
	depth int
	// problems and notes are what a reader of the whole file has found.
	problems, notes []error
}

// entry is one key of a mapping.
type entry struct {
	key   string
	node  *yaml.Node // the key's own
	value *yaml.Node
}

// openYAML reads a file of exactly one, non-empty document.
func openYAML(data []byte, file string) (*document, *yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var root, second yaml.Node
	if err := dec.Decode(&root); errors.Is(err, io.EOF) {
		return nil, nil, fmt.Errorf("%s: empty", file)
	} else if err != nil {
		if line := tabbed(data); line > 0 {
			return nil, nil, fmt.Errorf("%s:%d: a tab where spaces belong: %w", file, line, err)
		}
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	if err := dec.Decode(&second); err == nil {
		return nil, nil, fmt.Errorf("%s:%d: more than one document", file, second.Line)
	} else if !errors.Is(err, io.EOF) {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	return &document{file: file, left: maxNodes}, root.Content[0], nil
}

// tabbed returns the first line that is indented by a tab, 0 if none is: what
// is wrong with most files that cannot be read, and what the parser tells least
// clearly.
func tabbed(data []byte) int {
	n := 0
	for line := range bytes.Lines(data) {
		n++
		if indent := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]; bytes.Contains(indent, []byte("\t")) {
			return n
		}
	}
	return 0
}

// errorf returns an error that begins with the node's place.
func (d *document) errorf(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", d.file, n.Line, fmt.Errorf(format, args...))
}

// visit follows an alias and counts the node.
func (d *document) visit(n *yaml.Node) (*yaml.Node, error) {
	if d.left--; d.left < 0 {
		return nil, d.errorf(n, "more than %d nodes once aliases are expanded", maxNodes)
	}
	if n.Kind == yaml.AliasNode {
		return n.Alias, nil
	}
	return n, nil
}

// enter goes one level deeper; leave comes back.
func (d *document) enter(n *yaml.Node) error {
	if d.depth++; d.depth > maxDepth {
		return d.errorf(n, "nested more than %d deep", maxDepth)
	}
	return nil
}

func (d *document) leave() { d.depth-- }

// scalar returns the text of a scalar as written; what names it in errors.
func (d *document) scalar(n *yaml.Node, what string) (string, error) {
	n, err := d.visit(n)
	if err != nil {
		return "", err
	}
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" || n.Value == "" {
		return "", d.errorf(n, "%s: want a word, got %s", what, describe(n))
	}
	return n.Value, nil
}

// mapping returns the entries of a mapping in order. A key that stands twice
// is an error. Merge keys ("<<") are resolved: keys of the mapping itself win.
func (d *document) mapping(n *yaml.Node, what string) ([]entry, error) {
	defer d.leave()
	if err := d.enter(n); err != nil {
		return nil, err
	}
	n, err := d.visit(n)
	if err != nil {
		return nil, err
	}
	if n.Kind != yaml.MappingNode {
		return nil, d.errorf(n, "%s: want a mapping, got %s", what, describe(n))
	}
	var own, merged []entry
	lines := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].ShortTag() == "!!merge" {
			more, err := d.merge(n.Content[i+1], what)
			if err != nil {
				return nil, err
			}
			merged = append(merged, more...)
			continue
		}
		key, err := d.scalar(n.Content[i], what+": key")
		if err != nil {
			return nil, err
		}
		if line, ok := lines[key]; ok {
			return nil, d.errorf(n.Content[i], "%s: %s is there twice, first on line %d", what, key, line)
		}
		lines[key] = n.Content[i].Line
		own = append(own, entry{key: key, node: n.Content[i], value: n.Content[i+1]})
	}
	return overlay(merged, own, lines), nil
}

// merge returns the entries a merge key brings in: of one mapping, or of a list
// of mappings where the first to name a key wins.
func (d *document) merge(n *yaml.Node, what string) ([]entry, error) {
	target, err := d.visit(n)
	if err != nil {
		return nil, err
	}
	if target.Kind != yaml.SequenceNode {
		return d.mapping(n, what)
	}
	var all []entry
	for _, item := range target.Content {
		more, err := d.mapping(item, what)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// overlay returns the merged entries that no other hides, then own.
func overlay(merged, own []entry, seen map[string]int) []entry {
	var all []entry
	for _, e := range merged {
		if _, ok := seen[e.key]; !ok {
			seen[e.key] = e.node.Line
			all = append(all, e)
		}
	}
	return append(all, own...)
}

// sequence returns the items of a list.
func (d *document) sequence(n *yaml.Node, what string) ([]*yaml.Node, error) {
	n, err := d.visit(n)
	if err != nil {
		return nil, err
	}
	if n.Kind != yaml.SequenceNode {
		return nil, d.errorf(n, "%s: want a list, got %s", what, describe(n))
	}
	return n.Content, nil
}

// value returns a node as a JSON value. Timestamps stay the text they are.
func (d *document) value(n *yaml.Node) (any, error) {
	defer d.leave()
	if err := d.enter(n); err != nil {
		return nil, err
	}
	n, err := d.visit(n)
	if err != nil {
		return nil, err
	}
	switch n.Kind {
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, item := range n.Content {
			if list[i], err = d.value(item); err != nil {
				return nil, err
			}
		}
		return list, nil
	case yaml.MappingNode:
		entries, err := d.mapping(n, "value")
		if err != nil {
			return nil, err
		}
		dict := make(map[string]any, len(entries))
		for _, e := range entries {
			if dict[e.key], err = d.value(e.value); err != nil {
				return nil, err
			}
		}
		return dict, nil
	}
	return d.plain(n)
}

// plain returns a scalar as a JSON value.
func (d *document) plain(n *yaml.Node) (any, error) {
	switch n.ShortTag() {
	case "!!null":
		return nil, nil
	case "!!bool", "!!int", "!!float":
		var v any
		if err := n.Decode(&v); err != nil {
			return nil, d.errorf(n, "%w", err)
		}
		v, err := normal(v)
		if err != nil {
			return nil, d.errorf(n, "%w", err)
		}
		return v, nil
	}
	return n.Value, nil
}

// describe says what a node is, for errors.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	if n.Value == "" || n.ShortTag() == "!!null" {
		return "nothing"
	}
	const most = 60
	if len(n.Value) > most {
		return strconv.Quote(n.Value[:most]) + "…"
	}
	return strconv.Quote(n.Value)
}
