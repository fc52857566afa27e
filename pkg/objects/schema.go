package objects

import (
	"fmt"
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
	doc, root, err := openYAML(data, file)
	if err != nil {
		return nil, err
	}
	entries, err := doc.mapping(root, "schema")
	if err != nil {
		return nil, err
	}
	s := &Schema{types: []*Type{Node()}}
	for _, e := range entries {
		t, err := doc.parseType(e)
		if err != nil {
			return nil, err
		}
		if t.Name == s.types[0].Name {
			s.types[0] = t
			continue
		}
		if i := slices.IndexFunc(s.types, func(o *Type) bool { return o.Path == t.Path }); i >= 0 {
			return nil, doc.errorf(e.node, "type %s: path %s is that of type %s", t.Name, t.Path, s.types[i].Name)
		}
		s.types = append(s.types, t)
	}
	if _, err := s.LoadOrder(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return s, nil
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

// parseType reads one type. Keys this package does not know are left alone:
// newer schemas have some.
func (d *document) parseType(e entry) (*Type, error) {
	what := "type " + e.key
	keys, err := d.keys(e.value, what)
	if err != nil {
		return nil, err
	}
	t := &Type{Name: e.key}
	for _, key := range []string{"path", "tags", "schema"} {
		if keys[key] == nil {
			return nil, d.errorf(e.node, "%s: no %s", what, key)
		}
	}
	if t.Path, err = d.path(keys["path"], what); err != nil {
		return nil, err
	}
	if t.Tags, err = d.words(keys["tags"], what+": tags"); err != nil {
		return nil, err
	}
	if slices.Contains(t.Tags, "name") {
		return nil, d.errorf(keys["tags"], "%s: tags: name is no name for a tag", what)
	}
	if n := keys["depends"]; n != nil {
		if t.Depends, err = d.words(n, what+": depends"); err != nil {
			return nil, err
		}
	}
	if n := keys["free_form"]; n != nil {
		if err := n.Decode(&t.FreeForm); err != nil {
			return nil, d.errorf(n, "%s: free_form: want true or false", what)
		}
	}
	if n := keys["json_schema"]; n != nil {
		t.JSONSchema = true
		if t.Rules, err = d.rules(t, n, what); err != nil {
			return nil, err
		}
	}
	t.Fields, err = d.fields(keys["schema"], what, t.JSONSchema)
	return t, err
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
func (d *document) fields(n *yaml.Node, what string, anyKind bool) ([]Field, error) {
	entries, err := d.mapping(n, what+": schema")
	if err != nil {
		return nil, err
	}
	var fields []Field
	for _, e := range entries {
		f, err := d.field(e, what+": field "+e.key, anyKind)
		if err != nil {
			return nil, err
		}
		fields = append(fields, f)
	}
	return fields, nil
}

func (d *document) field(e entry, what string, anyKind bool) (Field, error) {
	f := Field{Name: e.key, Kind: Any}
	keys, err := d.keys(e.value, what)
	if err != nil {
		return f, err
	}
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
	if f.Default, err = f.convert(f.yamlWord(v)); err != nil {
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
