package objects

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Schema is a set of types, as conftool's schema.yaml declares them, with the
// built-in node.
type Schema struct {
	types []*Type
}

// ParseSchema reads a schema.yaml; file names it in errors. Unlike conftool,
// which leaves out a type it cannot read, it returns an error: file, line, type
// and field. A type called node replaces the built-in one.
func ParseSchema(data []byte, file string) (*Schema, error) {
	s, problems, _ := CheckSchema(data, file)
	if len(problems) > 0 {
		return nil, problems[0]
	}
	return s, nil
}

// CheckSchema is ParseSchema for somebody who is writing the file: it returns
// everything that is wrong, and what is passed over without being wrong, such as
// keys that nobody knows. The schema holds the types that could be read.
func CheckSchema(data []byte, file string) (s *Schema, problems, notes []error) {
	s = &Schema{types: []*Type{Node()}}
	doc, root, err := openYAML(data, file)
	if err != nil {
		return s, []error{err}, nil
	}
	entries, err := doc.mapping(root, "schema")
	if err != nil {
		return s, []error{err}, nil
	}
	for _, e := range entries {
		before := len(doc.problems)
		if t := doc.parseType(e); len(doc.problems) == before {
			doc.problem(s.add(doc, e, t))
		}
	}
	if len(doc.problems) == 0 {
		if _, err := s.LoadOrder(); err != nil {
			doc.problem(fmt.Errorf("%s: %w", file, err))
		}
	}
	return s, doc.problems, doc.notes
}

// add takes a type in; node takes the place of the built-in one.
func (s *Schema) add(doc *document, e entry, t *Type) error {
	for i, o := range s.types {
		if o.Name != t.Name && o.Path == t.Path {
			return doc.errorf(e.node, "type %s: path %s is that of type %s", t.Name, t.Path, s.types[i].Name)
		}
	}
	if t.Name == s.types[0].Name {
		s.types[0] = t
		return nil
	}
	s.types = append(s.types, t)
	return nil
}

// Types returns the types in the order declared, node first.
func (s *Schema) Types() []*Type { return slices.Clone(s.types) }

// Type returns the named type.
func (s *Schema) Type(name string) (*Type, bool) {
	i := slices.IndexFunc(s.types, func(t *Type) bool { return t.Name == name })
	if i < 0 {
		return nil, false
	}
	return s.types[i], true
}

// LoadOrder returns the types so that each comes after those it depends on, and
// otherwise in the order declared.
func (s *Schema) LoadOrder() ([]*Type, error) {
	var order []*Type
	state := make(map[*Type]int) // 1 while on the way, 2 when placed
	var place func(*Type) error
	place = func(t *Type) error {
		switch state[t] {
		case 1:
			return fmt.Errorf("type %s: depends on itself", t.Name)
		case 2:
			return nil
		}
		state[t] = 1
		for _, name := range t.Depends {
			d, ok := s.Type(name)
			if !ok {
				return fmt.Errorf("type %s: depends on unknown type %s", t.Name, name)
			}
			if err := place(d); err != nil {
				return err
			}
		}
		state[t] = 2
		order = append(order, t)
		return nil
	}
	for _, t := range s.types {
		if err := place(t); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// parseType reads one type, as far as it can be. Keys this package does not
// know are left alone, and noted: newer schemas have some.
func (d *document) parseType(e entry) *Type {
	what := "type " + e.key
	t := &Type{Name: e.key}
	keys, err := d.keys(e.value, what)
	if err != nil {
		d.problem(err)
		return t
	}
	d.unknown(keys, what, "path", "tags", "schema", "depends", "free_form", "json_schema")
	required := func(key string) (*yaml.Node, bool) {
		n, ok := keys[key]
		if !ok {
			d.problem(d.errorf(e.node, "%s: no %s", what, key))
		}
		return n, ok
	}
	if n, ok := required("path"); ok {
		t.Path, err = d.path(n, what)
		d.problem(err)
	}
	if n, ok := required("tags"); ok {
		t.Tags = d.tags(n, what+": tags")
	}
	if n := keys["depends"]; n != nil {
		t.Depends, err = d.words(n, what+": depends")
		d.problem(err)
	}
	if n := keys["free_form"]; n != nil {
		if err := n.Decode(&t.FreeForm); err != nil {
			d.problem(d.errorf(n, "%s: free_form: want true or false", what))
		}
	}
	if n := keys["json_schema"]; n != nil {
		t.JSONSchema = true
		t.Rules, err = d.rules(t, n, what)
		d.problem(err)
	}
	if n, ok := required("schema"); ok {
		t.Fields = d.fields(n, what, t.JSONSchema)
	}
	return t
}

// problem takes note of an error; nil is none.
func (d *document) problem(err error) {
	if err != nil {
		d.problems = append(d.problems, err)
	}
}

// unknown notes the keys that are not among those known.
func (d *document) unknown(keys map[string]*yaml.Node, what string, known ...string) {
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if !slices.Contains(known, key) {
			d.notes = append(d.notes, d.errorf(keys[key], "%s: %s is no key of a schema: passed over", what, key))
		}
	}
}

// tags reads the names of a type's tags.
func (d *document) tags(n *yaml.Node, what string) []string {
	tags, err := d.words(n, what)
	d.problem(err)
	if slices.Contains(tags, "name") {
		d.problem(d.errorf(n, "%s: name is no name for a tag", what))
	}
	return tags
}

// keys returns a mapping's values by key.
func (d *document) keys(n *yaml.Node, what string) (map[string]*yaml.Node, error) {
	entries, err := d.mapping(n, what)
	if err != nil {
		return nil, err
	}
	keys := make(map[string]*yaml.Node, len(entries))
	for _, e := range entries {
		keys[e.key] = e.value
	}
	return keys, nil
}

// path reads a type's base path: relative, without empty parts.
func (d *document) path(n *yaml.Node, what string) (string, error) {
	path, err := d.scalar(n, what+": path")
	if err != nil {
		return "", err
	}
	path = strings.TrimSuffix(path, "/")
	if slices.Contains(strings.Split(path, "/"), "") {
		return "", d.errorf(n, "%s: path %q: want a relative path", what, path)
	}
	return path, nil
}

// words reads a list of words that are all different.
func (d *document) words(n *yaml.Node, what string) ([]string, error) {
	items, err := d.sequence(n, what)
	if err != nil {
		return nil, err
	}
	var words []string
	for _, item := range items {
		word, err := d.scalar(item, what)
		if err != nil {
			return nil, err
		}
		if slices.Contains(words, word) {
			return nil, d.errorf(item, "%s: %s is there twice", what, word)
		}
		words = append(words, word)
	}
	return words, nil
}

// fields reads the fields of a type. Those of a JSON schema type are of kind
// Any whatever they say.
func (d *document) fields(n *yaml.Node, what string, anyKind bool) []Field {
	entries, err := d.mapping(n, what+": schema")
	d.problem(err)
	var fields []Field
	for _, e := range entries {
		f, err := d.field(e, what+": field "+e.key, anyKind)
		d.problem(err)
		fields = append(fields, f)
	}
	return fields
}

func (d *document) field(e entry, what string, anyKind bool) (Field, error) {
	f := Field{Name: e.key, Kind: Any}
	keys, err := d.keys(e.value, what)
	if err != nil {
		return f, err
	}
	d.unknown(keys, what, "type", "default")
	if !anyKind {
		if keys["type"] == nil {
			return f, d.errorf(e.node, "%s: no type", what)
		}
		kind, err := d.scalar(keys["type"], what+": type")
		if err != nil {
			return f, err
		}
		if f.Kind, f.Enum, err = parseKind(kind); err != nil {
			return f, d.errorf(keys["type"], "%s: %w", what, err)
		}
	}
	n, ok := keys["default"]
	if !ok {
		return f, d.errorf(e.node, "%s: no default", what)
	}
	v, err := d.value(n)
	if err != nil || v == nil {
		return f, err
	}
	f.Default, err = f.convert(f.yamlWord(v))
	if invalid, ok := errors.AsType[*InvalidError](err); ok {
		err = errors.New(invalid.Reason) // without conftool's words about provided data
	}
	if err != nil {
		return f, d.errorf(n, "%s: default: %w", what, err)
	}
	return f, nil
}

// parseKind reads the type of a field, "int" or "enum:yes|no".
func parseKind(s string) (Kind, []string, error) {
	if values, ok := strings.CutPrefix(s, "enum:"); ok {
		enum := strings.Split(values, "|")
		if slices.Contains(enum, "") {
			return "", nil, fmt.Errorf("type %q: an empty value", s)
		}
		return Enum, enum, nil
	}
	switch k := Kind(s); k {
	case Int, String, Bool, List, Dict, CIDRList, Any:
		return k, nil, nil
	}
	return "", nil, fmt.Errorf("unknown type %q", s)
}
