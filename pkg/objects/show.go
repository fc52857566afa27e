package objects

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// YAML returns what the object holds as an operator edits it: a mapping of the
// fields get shows, sorted by name. A value that does not fit its field stands
// there as it is stored, so that it can be mended; an object that is no JSON
// object has no YAML.
func (o Object) YAML() ([]byte, error) {
	list, err := members(o.Raw)
	if err != nil {
		return nil, o.fail(err)
	}
	out, err := yamlMapping(o.editable(list))
	return out, o.fail(err)
}

// StoredYAML returns the object as stored, every field of it, as YAML.
func (o Object) StoredYAML() ([]byte, error) {
	list, err := members(o.Raw)
	if err != nil {
		return nil, o.fail(err)
	}
	out, err := yamlMapping(list)
	return out, o.fail(err)
}

// yamlMapping writes members in their order.
func yamlMapping(list []member) ([]byte, error) {
	var nodes []*yaml.Node
	for _, m := range list {
		key := new(yaml.Node)
		key.SetString(m.name)
		v, err := decode(m.raw)
		if err != nil {
			return nil, err
		}
		value, err := yamlNode(v)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, key, value)
	}
	var buf bytes.Buffer
	enc := yaml.NewEncoder(&buf)
	enc.SetIndent(2)
	if err := enc.Encode(&yaml.Node{Kind: yaml.MappingNode, Content: nodes}); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	return buf.Bytes(), enc.Close()
}

// editable returns the members get shows, sorted by name; those that do not fit
// as they are stored.
func (o Object) editable(list []member) []member {
	var all []member
	for _, f := range o.Type.Fields {
		m, err := f.member(list)
		if err != nil {
			m, _ = find(list, f.Name)
		}
		all = append(all, m)
	}
	if o.Type.FreeForm {
		all = append(all, slices.DeleteFunc(slices.Clone(list), func(m member) bool {
			_, known := o.Type.Field(m.name)
			return known
		})...)
	}
	slices.SortFunc(all, func(a, b member) int { return bytes.Compare([]byte(a.name), []byte(b.name)) })
	return all
}

// yamlNode returns a JSON value as YAML that reads back as the same: numbers
// keep their digits, and strings are quoted where YAML would take them for
// something else.
func yamlNode(v any) (*yaml.Node, error) {
	n := new(yaml.Node)
	switch v := v.(type) {
	case json.Number:
		tag := "!!int"
		if bytes.ContainsAny([]byte(v), ".eE") {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: string(v)}, nil
	case []any:
		n.Kind, n.Style = yaml.SequenceNode, yaml.FlowStyle
		for _, item := range v {
			child, err := yamlNode(item)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, child)
		}
		return n, nil
	case map[string]any:
		n.Kind = yaml.MappingNode
		var names []string
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			key := new(yaml.Node)
			key.SetString(name)
			child, err := yamlNode(v[name])
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, key, child)
		}
		return n, nil
	}
	if err := n.Encode(v); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	return n, nil
}

// Text is what confctl prints of a value in tables and plans: Python's str.
func Text(v any) string { return text(v) }

// StoredJSON returns the object as stored, every field of it, on one line in
// the form of conftool's json.dumps.
func (o Object) StoredJSON() ([]byte, error) {
	list, err := members(o.Raw)
	if err != nil {
		return nil, o.fail(err)
	}
	return join(list), nil
}
