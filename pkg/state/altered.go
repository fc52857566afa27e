package state

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/sluice-lb/sluice/pkg/objects"
)

// Altered is one object of a change, in the terms of its type.
type Altered struct {
	// Object is the object as the change left it; Raw is nil if it deleted it.
	Object objects.Object
	// Before is the object's JSON before; nil if the change created it.
	Before []byte
	// Diffs are the fields that differ, in the order of the schema; the values
	// of a field that is not stored are nil, or its default. Empty for objects
	// created and deleted.
	Diffs []objects.Diff
}

// Picked tells whether the selector picks the object, as it was before or as it
// is after.
func (a Altered) Picked(sel *objects.Selector) bool {
	if !sel.Match(a.Object.Key) {
		return false
	}
	for _, raw := range [][]byte{a.Before, a.Object.Raw} {
		o := a.Object
		o.Raw = raw
		if raw == nil {
			continue
		}
		if ok, err := sel.MatchFields(o); ok && err == nil {
			return true
		}
	}
	return false
}

// Alterations returns the objects of a record in the terms of these types. One
// that belongs to none of them is shown with the whole key for a name.
func (s *Store) Alterations(types []*objects.Type, r Recorded) []Altered {
	all := make([]Altered, len(r.Objects))
	for i, o := range r.Objects {
		all[i] = s.alteration(types, o)
	}
	return all
}

func (s *Store) alteration(types []*objects.Type, o RecordedObject) Altered {
	for _, t := range types {
		if a, ok := s.altered(t, o); ok {
			return a
		}
	}
	stranger := &objects.Type{Name: "object", FreeForm: true}
	return compared(objects.Object{Type: stranger, Key: objects.Key{Name: o.Key}, Raw: o.After}, before(o))
}

// altered reads a recorded object as one of the type; false if it is none.
func (s *Store) altered(t *objects.Type, o RecordedObject) (Altered, bool) {
	path, ok := strings.CutPrefix(o.Key, s.base(t))
	if !ok {
		return Altered{}, false
	}
	key, err := t.ParseKey(path)
	if err != nil {
		return Altered{}, false
	}
	return compared(objects.Object{Type: t, Key: key, Raw: o.After}, before(o)), true
}

func before(o RecordedObject) []byte {
	if o.Garbage != nil {
		return o.Garbage
	}
	return o.Before
}

// compared works out the differences.
func compared(o objects.Object, before []byte) Altered {
	a := Altered{Object: o, Before: before}
	was, is := fieldsOf(before), fieldsOf(o.Raw)
	if was == nil || is == nil {
		return a
	}
	for _, name := range fieldNames(o.Type, was, is) {
		old, fresh := valueOf(o.Type, was, name), valueOf(o.Type, is, name)
		if !reflect.DeepEqual(old, fresh) {
			a.Diffs = append(a.Diffs, objects.Diff{Field: name, Old: old, New: fresh})
		}
	}
	return a
}

// fieldsOf returns the stored fields, numbers as written; nil if raw is no JSON
// object.
func fieldsOf(raw []byte) map[string]any {
	var fields map[string]any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if dec.Decode(&fields) != nil {
		return nil
	}
	return fields
}

// fieldNames returns the fields of either, those of the type first.
func fieldNames(t *objects.Type, was, is map[string]any) []string {
	var names []string
	for _, f := range t.Fields {
		names = append(names, f.Name)
	}
	rest := slices.Sorted(maps.Keys(was))
	rest = append(rest, slices.Sorted(maps.Keys(is))...)
	for _, name := range rest {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// valueOf returns a field's value, the default if it is not stored.
func valueOf(t *objects.Type, fields map[string]any, name string) any {
	if v, ok := fields[name]; ok && v != nil {
		return v
	}
	f, ok := t.Field(name)
	if !ok || f.Default == nil {
		return nil
	}
	// In the shape decoding gives it.
	raw, err := objects.Encode(f.Default)
	if err != nil {
		return f.Default
	}
	var v any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if dec.Decode(&v) != nil {
		return f.Default
	}
	return v
}
