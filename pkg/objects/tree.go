package objects

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// ParseTree reads one file of a conftool-data tree and returns the keys of the
// objects it wants to exist, sorted; file names it in errors. Files of most
// types nest one mapping per tag, and end in a list of names or in a mapping
// whose keys are the names. Files of node put the host before the last tag:
// dc, cluster, host, and a list of services.
//
// A mapping key that stands twice, a single word where a list belongs, an empty
// file and a name with a slash are errors: each would make objects vanish or
// appear that nobody meant.
func (t *Type) ParseTree(data []byte, file string) ([]Key, error) {
	doc, root, err := openYAML(data, file)
	if err != nil {
		return nil, err
	}
	w := treeWalk{document: doc, node: t.hostFirst()}
	if err := w.walk(root, nil, len(t.Tags)); err != nil {
		return nil, err
	}
	slices.SortFunc(w.keys, Key.Compare)
	return slices.Compact(w.keys), nil
}

// hostFirst tells whether the type's files put the name before the last tag.
func (t *Type) hostFirst() bool { return t.Name == "node" && len(t.Tags) > 0 }

// treeWalk collects the keys of one file.
type treeWalk struct {
	*document
	node bool
	keys []Key
}

// walk reads what stands under path, with depth mappings still to come before
// the list at the end.
func (w *treeWalk) walk(n *yaml.Node, path []string, depth int) error {
	what := "tree"
	if len(path) > 0 {
		what = strings.Join(path, "/")
	}
	if depth == 0 {
		return w.leaf(n, path, what)
	}
	entries, err := w.mapping(n, what)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := w.check(e.node, e.key); err != nil {
			return err
		}
		if err := w.walk(e.value, append(slices.Clip(path), e.key), depth-1); err != nil {
			return err
		}
	}
	return nil
}

// leaf reads the names at the end of path: a list, or the keys of a mapping.
func (w *treeWalk) leaf(n *yaml.Node, path []string, what string) error {
	target, err := w.visit(n)
	if err != nil {
		return err
	}
	var items []*yaml.Node
	switch target.Kind {
	case yaml.SequenceNode:
		items = target.Content
	case yaml.MappingNode:
		entries, err := w.mapping(n, what)
		if err != nil {
			return err
		}
		for _, e := range entries {
			items = append(items, e.node)
		}
	default:
		return w.errorf(target, "%s: want a list of names, got %s", what, describe(target))
	}
	for _, item := range items {
		name, err := w.scalar(item, what)
		if err != nil {
			return err
		}
		if err := w.check(item, name); err != nil {
			return err
		}
		w.keys = append(w.keys, w.key(path, name))
	}
	return nil
}

// key makes a key of the way through the file. In a node file the last two are
// host and service, the other way round than in the key.
func (w *treeWalk) key(path []string, last string) Key {
	if w.node {
		end := len(path) - 1
		return Key{Tags: strings.Join(append(slices.Clip(path[:end]), last), "/"), Name: path[end]}
	}
	return Key{Tags: strings.Join(path, "/"), Name: last}
}

// check refuses what cannot be one part of a key.
func (w *treeWalk) check(n *yaml.Node, name string) error {
	if err := checkPart(name); err != nil {
		return w.errorf(n, "%w", err)
	}
	return nil
}

// checkPart refuses a tag or name that cannot stand in a key.
func checkPart(part string) error {
	if part == "" || !utf8.ValidString(part) || strings.ContainsFunc(part, func(r rune) bool { return r == '/' || !unicode.IsPrint(r) }) {
		return fmt.Errorf("name %q: want printable characters without a slash", part)
	}
	return nil
}
