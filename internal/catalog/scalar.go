package catalog

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// object is a mapping whose fields are asked for by name.
type object struct {
	*reader
	value
	fields []value
}

func (r *reader) object(v value) (object, bool) {
	fields, ok := r.mapping(v)
	return object{reader: r, value: v, fields: fields}, ok
}

// known complains about every field with another name.
func (o object) known(names ...string) {
	for _, f := range o.fields {
		if !slices.Contains(names, f.key) {
			o.bad(value{name: f.name, line: f.keyLine}, "unknown; known are %s", strings.Join(names, ", "))
		}
	}
}

// get returns a field, which is not there if nobody gave it.
func (o object) get(key string) value {
	i := slices.IndexFunc(o.fields, func(v value) bool { return v.key == key })
	if i < 0 {
		return value{}
	}
	return o.fields[i]
}

// must complains about a field that is not there.
func (o object) must(key string) value {
	v := o.get(key)
	if !v.there() {
		o.bad(value{name: inside(o.name, key), line: o.keyLine}, "missing")
	}
	return v
}

// text returns a scalar as written, and whether it is there. Neither it nor its
// siblings complain where nothing is.
func (r *reader) text(v value) (string, bool) {
	if !v.there() {
		return "", false
	}
	switch tag := v.node.ShortTag(); {
	case v.node.Kind != yaml.ScalarNode, tag == "!!null":
		r.bad(v, "want a text, got %s", describe(v.node))
		return "", false
	case strings.HasPrefix(tag, "!!") && tag != "!!binary":
		return v.node.Value, true
	}
	r.bad(v, "a value of type %s is of no use here", v.node.Tag)
	return "", false
}

// word returns a text that can be part of a section's name or of a key.
func (r *reader) word(v value) string {
	text, ok := r.text(v)
	if ok && !isWord(text) {
		r.bad(v, "%s: %s", shown(text), notWord)
		return ""
	}
	return text
}

// choice returns one of some words.
func (r *reader) choice(v value, otherwise string, allowed ...string) string {
	text, ok := r.text(v)
	switch {
	case !ok:
		return otherwise
	case !slices.Contains(allowed, text):
		r.bad(v, "%s is not one of %s", shown(text), strings.Join(allowed, ", "))
		return otherwise
	}
	return text
}

// boolean knows the words of YAML 1.1, which Puppet's YAML has too.
func (r *reader) boolean(v value, otherwise bool) bool {
	if !v.there() {
		return otherwise
	}
	b := otherwise
	if v.node.Kind != yaml.ScalarNode || v.node.ShortTag() == "!!null" || v.node.Decode(&b) != nil {
		r.bad(v, "want true or false, got %s", describe(v.node))
		return otherwise
	}
	return b
}

// decimal is a whole number that everybody reads as the same: to YAML 1.1,
// 010 is eight and 1:30 is ninety.
var decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

func (r *reader) port(v value) uint16 {
	text, ok := r.text(v)
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 65535 || !decimal.MatchString(text) {
		r.bad(v, "%s is no port: want a number from 1 to 65535", shown(text))
		return 0
	}
	return uint16(n)
}

// share returns a number from 0 to 1.
func (r *reader) share(v value, otherwise float64) float64 {
	text, ok := r.text(v)
	if !ok {
		return otherwise
	}
	f, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil || math.IsNaN(f):
		r.bad(v, "%s is not a number", shown(text))
	case f < 0 || f > 1:
		r.bad(v, "%s is outside 0 to 1", shown(text))
	default:
		return f
	}
	return otherwise
}

// items returns the items of a list.
func (r *reader) items(v value) []value {
	if !v.there() {
		return nil
	}
	if v.node.Kind != yaml.SequenceNode {
		r.bad(v, "want a list, got %s", describe(v.node))
		return nil
	}
	var items []value
	for _, n := range v.node.Content {
		n = r.follow(n)
		items = append(items, value{name: v.name, line: n.Line, node: n})
	}
	return items
}

// words returns a list of words.
func (r *reader) words(v value) []string {
	var words []string
	for _, item := range r.items(v) {
		if word := r.word(item); word != "" {
			words = append(words, word)
		}
	}
	return words
}

// describe says what a node is.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.ShortTag() == "!!null":
		return "nothing"
	}
	return strconv.Quote(n.Value)
}
