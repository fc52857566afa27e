package objects

import (
	"bytes"
	"fmt"
	"slices"
)

// Patch returns the object's JSON with the named fields set, and the fields
// that differ from before, in the order they were named. Everything else in
// the object stays as it is stored and where it is stored, even if it does not
// fit the schema; a field not stored yet is appended, in the order of the
// schema. Where nothing differs, raw is o.Raw itself. Setting a field that is
// not stored to its default changes nothing.
//
// It is an error when a setting does not fit the type or the stored object is
// malformed; it is never repaired.
func (o Object) Patch(set []Setting) (raw []byte, diffs []Diff, err error) {
	list, err := members(o.Raw)
	if err != nil {
		return nil, nil, o.fail(err)
	}
	if set, err = o.Type.check(set); err != nil {
		return nil, nil, o.fail(err)
	}
	var added []member
	for _, s := range set {
		diff, differs, err := o.Type.differ(list, s)
		if err != nil {
			return nil, nil, o.fail(err)
		}
		if !differs {
			continue
		}
		m, err := newMember(s.Field, s.Value)
		if err != nil {
			return nil, nil, o.fail(fmt.Errorf("field %s: %w", s.Field, err))
		}
		diffs = append(diffs, diff)
		if i := slices.IndexFunc(list, func(m member) bool { return m.name == s.Field }); i >= 0 {
			list[i].raw = m.raw
		} else {
			added = append(added, m)
		}
	}
	if len(diffs) == 0 {
		return o.Raw, nil, nil
	}
	slices.SortStableFunc(added, func(a, b member) int { return o.Type.place(a.name) - o.Type.place(b.name) })
	return join(append(list, added...)), diffs, nil
}

// differ compares a setting with what is stored. A stored value that does not
// fit its field differs from everything.
func (t *Type) differ(list []member, s Setting) (Diff, bool, error) {
	f, err := t.settable(s.Field)
	if err != nil {
		return Diff{}, false, err
	}
	old, err := f.value(list)
	if err != nil {
		m, _ := find(list, s.Field)
		old, err = decode(m.raw)
		return Diff{Field: s.Field, Old: old, New: s.Value}, true, err
	}
	before, err := Encode(old)
	if err != nil {
		return Diff{}, false, err
	}
	after, err := Encode(s.Value)
	return Diff{Field: s.Field, Old: old, New: s.Value}, !bytes.Equal(before, after), err
}

// place returns where the type declares a field; behind all others for one it
// does not.
func (t *Type) place(field string) int {
	if i := slices.IndexFunc(t.Fields, func(f Field) bool { return f.Name == field }); i >= 0 {
		return i
	}
	return len(t.Fields)
}

// Defaults returns the JSON of a new object: every field's default, overlaid
// by set.
func (t *Type) Defaults(set []Setting) ([]byte, error) {
	set, err := t.check(set)
	if err != nil {
		return nil, fmt.Errorf("new %s: %w", t.Name, err)
	}
	values := make([]Setting, len(t.Fields))
	for i, f := range t.Fields {
		values[i] = Setting{Field: f.Name, Value: f.Default}
	}
	for _, s := range set {
		values = override(values, s)
	}
	list := make([]member, len(values))
	for i, s := range values {
		if list[i], err = newMember(s.Field, s.Value); err != nil {
			return nil, fmt.Errorf("new %s: field %s: %w", t.Name, s.Field, err)
		}
	}
	return join(list), nil
}

// override replaces the setting of that field, or appends it.
func override(set []Setting, s Setting) []Setting {
	if i := slices.IndexFunc(set, func(o Setting) bool { return o.Field == s.Field }); i >= 0 {
		set[i] = s
		return set
	}
	return append(set, s)
}

// String returns what confctl prints of a change: "weight changed 10 => 5".
func (d Diff) String() string {
	return fmt.Sprintf("%s changed %s => %s", d.Field, text(d.Old), text(d.New))
}
