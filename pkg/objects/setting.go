package objects

import (
	"fmt"
	"slices"
	"strings"
)

// ParseSettings reads the fields of a set action, "pooled=no:weight=5". A value
// can hold neither ":" nor "="; of a field given twice the last value counts.
// Lists are separated by commas; mappings and lists of networks cannot be
// given this way. Its errors for values that do not fit are InvalidErrors.
func (t *Type) ParseSettings(text string) ([]Setting, error) {
	var set []Setting
	for _, term := range strings.Split(text, ":") {
		name, value, ok := strings.Cut(strings.TrimSpace(term), "=")
		if !ok || name == "" || strings.Contains(value, "=") {
			return nil, fmt.Errorf("could not parse set instructions: %q: want FIELD=VALUE[:FIELD=VALUE…]", text)
		}
		f, err := t.settable(name)
		if err != nil {
			return nil, err
		}
		v, err := f.parse(value)
		if err != nil {
			return nil, err
		}
		set = override(set, Setting{Field: name, Value: v})
	}
	return t.check(set)
}

// parse reads a value given on the command line.
func (f Field) parse(s string) (any, error) {
	switch f.Kind {
	case List:
		list := []any{}
		if s == "" {
			return list, nil
		}
		for _, item := range strings.Split(s, ",") {
			list = append(list, item)
		}
		return list, nil
	case Bool:
		switch strings.ToLower(s) {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
		return nil, f.invalid("%s is not true or false", s)
	case Dict, CIDRList:
		return nil, f.invalid("a %s cannot be set on the command line; use set/@FILE", f.Kind)
	}
	return s, nil
}

// ParseSettingsFile reads the fields of a set/@FILE action: a YAML mapping of
// fields to values, in the order of the file. As in YAML 1.1, yes, no, on and
// off stand for booleans where the field is one; an enum takes them as words.
func (t *Type) ParseSettingsFile(data []byte, file string) ([]Setting, error) {
	doc, root, err := openYAML(data, file)
	if err != nil {
		return nil, err
	}
	entries, err := doc.mapping(root, "fields")
	if err != nil {
		return nil, err
	}
	set := make([]Setting, len(entries))
	for i, e := range entries {
		v, err := doc.value(e.value)
		if err != nil {
			return nil, err
		}
		set[i] = Setting{Field: e.key, Value: v}
	}
	if set, err = t.checkYAML(set); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return set, nil
}

// CheckSettings makes settings out of a mapping a program holds, in the order
// of the schema. Values convert as in ParseSettingsFile.
func (t *Type) CheckSettings(values map[string]any) ([]Setting, error) {
	set := make([]Setting, 0, len(values))
	for field, v := range values {
		set = append(set, Setting{Field: field, Value: v})
	}
	slices.SortFunc(set, func(a, b Setting) int {
		if c := t.place(a.Field) - t.place(b.Field); c != 0 {
			return c
		}
		return strings.Compare(a.Field, b.Field)
	})
	return t.checkYAML(set)
}

// checkYAML checks settings whose words may be YAML 1.1's booleans.
func (t *Type) checkYAML(set []Setting) ([]Setting, error) {
	for i, s := range set {
		f, err := t.settable(s.Field)
		if err != nil {
			return nil, err
		}
		set[i].Value = f.yamlWord(s.Value)
	}
	return t.check(set)
}

// yamlWord gives YAML 1.1's boolean words the meaning the field wants.
func (f Field) yamlWord(v any) any {
	word, ok := v.(string)
	if !ok {
		return v
	}
	switch f.Kind {
	case Bool:
		switch strings.ToLower(word) {
		case "yes", "on":
			return true
		case "no", "off":
			return false
		}
	case Enum:
		switch word {
		case "Yes", "YES", "No", "NO":
			return strings.ToLower(word)
		}
	}
	return v
}

// check returns the settings with their values converted to the kinds of their
// fields; of a field given twice the last value counts. The first that does
// not fit is an InvalidError.
func (t *Type) check(set []Setting) ([]Setting, error) {
	var checked []Setting
	for _, s := range set {
		f, err := t.settable(s.Field)
		if err != nil {
			return nil, err
		}
		v, err := normal(s.Value)
		if err != nil {
			return nil, f.invalid("%v", err)
		}
		if v, err = f.convert(v); err != nil {
			return nil, err
		}
		if n, ok := v.(int); ok && f.Kind == Int && f.Name == "weight" && n < 0 {
			return nil, f.invalid("weight %d is negative", n)
		}
		checked = override(checked, Setting{Field: s.Field, Value: v})
	}
	return checked, nil
}
