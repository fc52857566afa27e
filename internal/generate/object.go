package generate

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// Object is one object of any type, as templates see it.
type Object struct {
	// Name is the object's own name; Tags are those of its type, by name.
	Name   string
	Tags   map[string]string
	object objects.Object
}

// Fields are all that is stored, and the defaults of what is not.
func (o Object) Fields() (map[string]any, error) { return fieldsOf(o.object) }

// fieldsOf returns the fields of an object: those of its type as they are
// typed, whole numbers as int, and those that are stored besides.
func fieldsOf(o objects.Object) (map[string]any, error) {
	stored, err := o.StoredJSON()
	if err != nil {
		return nil, err
	}
	fields := map[string]any{}
	dec := json.NewDecoder(bytes.NewReader(stored))
	dec.UseNumber()
	if err := dec.Decode(&fields); err != nil {
		return nil, err
	}
	for _, f := range o.Type.Fields {
		if fields[f.Name], err = o.Value(f.Name); err != nil {
			return nil, err
		}
	}
	for name, v := range fields {
		fields[name] = plainNumbers(v)
	}
	return fields, nil
}

// plainNumbers makes the numbers in a JSON value such as templates can compare.
func plainNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return int(n)
		}
		x, _ := v.Float64() // the nearest there is
		return x
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			list[i] = plainNumbers(item)
		}
		return list
	case map[string]any:
		dict := make(map[string]any, len(v))
		for name, item := range v {
			dict[name] = plainNumbers(item)
		}
		return dict
	}
	return v
}

// readObjects returns the objects of a type, sorted by key, and the keys that
// are none.
func readObjects(t *objects.Type, snap state.Snapshot) (all []Object, stray []string) {
	for _, e := range snap.Entries {
		key, err := t.ParseKey(e.Key)
		if err != nil || !isText(e.Key) {
			stray = append(stray, e.Key)
			continue
		}
		o := Object{Name: key.Name, Tags: map[string]string{}, object: objects.Object{Type: t, Key: key, Revision: e.Revision, Raw: e.Value}}
		for _, tag := range t.Tags {
			o.Tags[tag], _ = t.Tag(key, tag)
		}
		all = append(all, o)
	}
	return all, stray
}

// isText tells whether a key can stand in a file without starting a line or a
// file of its own.
func isText(key string) bool {
	return utf8.ValidString(key) && !strings.ContainsFunc(key, unicode.IsControl)
}
