package objects

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// WriteTree returns a file of a conftool-data tree that names exactly these
// objects: ParseTree reads them back, and so does conftool. The same keys make
// the same file, in whatever order they are given. Without any it is a file that
// wants nothing.
func (t *Type) WriteTree(keys []Key) ([]byte, error) {
	var paths [][]string
	for _, k := range keys {
		path, err := t.treePath(k)
		if err != nil {
			return nil, fmt.Errorf("%s %q: %w", t.Name, k, err)
		}
		paths = append(paths, path)
	}
	slices.SortFunc(paths, slices.Compare)
	paths = slices.CompactFunc(paths, slices.Equal)
	var buf bytes.Buffer
	enc := yaml.NewEncoder(&buf)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(t.treeNode(paths, len(t.Tags))), enc.Close()); err != nil {
		return nil, fmt.Errorf("write tree of %s: %w", t.Name, err)
	}
	return buf.Bytes(), nil
}

// treePath returns the way through a file to a key: the opposite of treeWalk.key.
func (t *Type) treePath(k Key) ([]string, error) {
	same, err := t.ParseKey(k.String())
	if err != nil {
		return nil, err
	}
	path := strings.Split(same.String(), "/")
	for _, part := range path {
		if err := checkPart(part); err != nil {
			return nil, err
		}
	}
	if last := len(path) - 1; t.hostFirst() {
		path[last-1], path[last] = path[last], path[last-1]
	}
	return path, nil
}

// treeNode returns sorted paths as YAML: depth mappings, then a list. The lists
// of a node file, each a few services, stand on one line.
func (t *Type) treeNode(paths [][]string, depth int) *yaml.Node {
	if depth == 0 {
		n := &yaml.Node{Kind: yaml.SequenceNode}
		if t.hostFirst() {
			n.Style = yaml.FlowStyle
		}
		for _, p := range paths {
			n.Content = append(n.Content, treeWord(p[0]))
		}
		return n
	}
	n := &yaml.Node{Kind: yaml.MappingNode}
	for len(paths) > 0 {
		name, below := paths[0][0], [][]string(nil)
		for len(paths) > 0 && paths[0][0] == name {
			below, paths = append(below, paths[0][1:]), paths[1:]
		}
		n.Content = append(n.Content, treeWord(name), t.treeNode(below, depth-1))
	}
	return n
}

// bareWord is what no YAML takes for anything but a word, notWords aside.
var bareWord = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]*$`)

// treeWord returns a name as YAML, in quotes unless it is plainly a word:
// conftool reads YAML 1.1, where no, 1e3, 0x10, 010, 1:30, ~ and = are others.
func treeWord(name string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: name}
	notWords := []string{"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
	if !bareWord.MatchString(name) || slices.Contains(notWords, strings.ToLower(name)) {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}
