package objects

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// member is one field of a stored object, as stored.
type member struct {
	name string
	key  []byte // the name's JSON text
	raw  []byte // the value's JSON text
}

// members takes a stored JSON object apart, in the order stored. Of a name
// given twice the last value counts, at the first place, as in Python.
func members(raw []byte) ([]member, error) {
	if !utf8.Valid(raw) {
		return nil, errors.New("malformed JSON: not UTF-8")
	}
	if err := validJSON(raw); err != nil {
		return nil, fmt.Errorf("malformed JSON: %w", err)
	}
	rest := bytes.TrimLeft(raw, blanks)
	if rest[0] != '{' {
		return nil, errors.New("malformed JSON: not an object")
	}
	list := make([]member, 0, few)
	index := make(map[string]int) // of all members but the first few
	for {
		rest = bytes.TrimLeft(rest[1:], blanks+",")
		if rest[0] == '}' {
			return list, nil
		}
		var m member
		if m, rest = nextMember(rest); rest == nil {
			return nil, errors.New("malformed JSON: not an object")
		}
		i := slices.IndexFunc(list[:min(len(list), few)], func(o member) bool { return o.name == m.name })
		if j, ok := index[m.name]; ok {
			i = j
		}
		if i >= 0 {
			list[i].raw = m.raw
			continue
		}
		if len(list) >= few {
			index[m.name] = len(list)
		}
		list = append(list, m)
	}
}

// few is how many members are looked through one by one.
const few = 8

// blanks are what JSON allows between its parts.
const blanks = " \t\r\n"

// validJSON tells what is wrong with a text that is not JSON.
func validJSON(raw []byte) error {
	if json.Valid(raw) {
		return nil
	}
	var top json.RawMessage
	return json.Unmarshal(raw, &top)
}

// nextMember takes one member off valid JSON that begins with its key. The rest
// begins with the byte before what follows; it is nil if the key cannot be read.
func nextMember(text []byte) (m member, rest []byte) {
	n := stringLen(text)
	m.key = text[:n]
	if name := m.key[1 : n-1]; bytes.IndexByte(name, '\\') < 0 {
		m.name = string(name)
	} else if json.Unmarshal(m.key, &m.name) != nil {
		return m, nil
	}
	value := bytes.TrimLeft(text[n:], blanks+":")
	n = valueLen(value)
	m.raw = value[:n:n]
	return m, value[n-1:]
}

// valueLen returns the length of the value valid JSON begins with.
func valueLen(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i += stringLen(text[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		default:
			if depth > 0 {
				continue
			}
			n := bytes.IndexAny(text[i:], blanks+",}]")
			if n < 0 {
				return len(text)
			}
			return i + n
		}
		if depth == 0 {
			return i + 1
		}
	}
	return len(text)
}

// find returns the member of that name.
func find(list []member, name string) (member, bool) {
	i := slices.IndexFunc(list, func(m member) bool { return m.name == name })
	if i < 0 {
		return member{}, false
	}
	return list[i], true
}

// decode reads one JSON value, keeping numbers as written.
func decode(raw []byte) (any, error) {
	if n := len(raw); n > 1 && raw[0] == '"' && bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : n-1]), nil
	}
	var v any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	err := dec.Decode(&v)
	return v, err
}

// value returns the field's value in a stored object: its default when the
// field is missing or null, an error when what is stored does not fit.
func (f Field) value(list []member) (any, error) {
	m, ok := find(list, f.Name)
	if !ok {
		return f.Default, nil
	}
	v, err := decode(m.raw)
	if err != nil {
		return nil, f.invalid("%v", err)
	}
	if v == nil {
		return f.Default, nil
	}
	return f.convert(v)
}

// fail puts the object's name before an error.
func (o Object) fail(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", o.Type.Name, o.Key, err)
}

// Value returns the value of a field, of the Go type its kind has. A field that
// is missing or null has its default. It is an error when the stored object is
// malformed, the stored value does not fit, or the type has no such field.
func (o Object) Value(field string) (any, error) {
	f, ok := o.Type.Field(field)
	if !ok {
		return nil, o.fail(fmt.Errorf("no field %s", field))
	}
	list, err := members(o.Raw)
	if err != nil {
		return nil, o.fail(err)
	}
	v, err := f.value(list)
	return v, o.fail(inField(f, err))
}

// inField puts the field's name before the reason of an InvalidError.
func inField(f Field, err error) error {
	if e, ok := errors.AsType[*InvalidError](err); ok {
		return fmt.Errorf("field %s: %s", f.Name, e.Reason)
	}
	return err
}

// Check returns nil when the object is well-formed JSON and every stored field
// fits the schema. Its error is one line and names every field that does not.
func (o Object) Check() error {
	list, err := members(o.Raw)
	if err != nil {
		return o.fail(err)
	}
	return o.check(list)
}

func (o Object) check(list []member) error {
	var bad []string
	for _, f := range o.Type.Fields {
		if _, err := f.value(list); err != nil {
			bad = append(bad, inField(f, err).Error())
		}
	}
	if len(bad) > 0 {
		return o.fail(errors.New(strings.Join(bad, "; ")))
	}
	return nil
}

// Line returns the object as `confctl select … get` prints it, without the
// newline: the name, the fields in the order of the schema, those a free-form
// type has besides, the tags. An object that fails Check has no line, since
// conftool's would show defaults that nobody stored.
func (o Object) Line() (string, error) {
	list, err := members(o.Raw)
	if err != nil {
		return "", o.fail(err)
	}
	if err := o.check(list); err != nil {
		return "", err
	}
	shown, err := o.shown(list)
	if err != nil {
		return "", o.fail(err)
	}
	name, err := Encode(o.Key.Name)
	if err != nil {
		return "", o.fail(err)
	}
	tags, err := Encode(o.Type.TagString(o.Key))
	if err != nil {
		return "", o.fail(err)
	}
	return fmt.Sprintf(`{%s: %s, "tags": %s}`, name, join(shown), tags), nil
}

// shown returns the members of an object that get shows, values converted.
func (o Object) shown(list []member) ([]member, error) {
	var shown []member
	for _, f := range o.Type.Fields {
		m, err := f.member(list)
		if err != nil {
			return nil, err
		}
		shown = append(shown, m)
	}
	if o.Type.FreeForm {
		for _, m := range list {
			if _, ok := o.Type.Field(m.name); !ok {
				shown = append(shown, m)
			}
		}
	}
	return shown, nil
}

// member returns the field as a member: as stored where the value's text is
// its own conversion, which keeps the order inside mappings.
func (f Field) member(list []member) (member, error) {
	stored, ok := find(list, f.Name)
	converts := f.Kind == Int || f.Kind == String && !bytes.HasPrefix(stored.raw, []byte{'"'})
	if ok && !converts && !bytes.Equal(stored.raw, []byte("null")) {
		return stored, nil
	}
	v, err := f.value(list)
	if err != nil {
		return member{}, err
	}
	return newMember(f.Name, v)
}

func newMember(name string, v any) (member, error) {
	key, err := Encode(name)
	if err != nil {
		return member{}, err
	}
	raw, err := Encode(v)
	return member{name: name, key: key, raw: raw}, err
}

// join returns the members as one JSON object in the form of json.dumps.
func join(list []member) []byte {
	out := []byte{'{'}
	for i, m := range list {
		if i > 0 {
			out = append(out, ", "...)
		}
		out = respace(out, m.key)
		out = append(out, ": "...)
		out = respace(out, m.raw)
	}
	return append(out, '}')
}
