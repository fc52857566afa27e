// Package objects is the operator's vocabulary: typed objects under keys with
// tags, the schema they follow, the selectors that name them, and the exact
// text conftool's users and scripts read and write. It does no I/O.
package objects

import (
	"fmt"
	"strings"
)

// Key names one object of a type.
type Key struct {
	// Tags are the tag values joined by "/", in the order of the type:
	// "eqiad/cache_text/https". Empty for a type without tags.
	Tags string
	// Name is the object's own name, "cp1001.eqiad.wmnet".
	Name string
}

// String returns "TAGS/NAME", the key below the type's base path.
func (k Key) String() string {
	if k.Tags == "" {
		return k.Name
	}
	return k.Tags + "/" + k.Name
}

// Compare orders keys as the store does.
func (k Key) Compare(other Key) int { return strings.Compare(k.String(), other.String()) }

// ParseKey reads a key below the type's base path. It is an error when the
// depth does not fit the type or a part is empty.
func (t *Type) ParseKey(path string) (Key, error) {
	parts := strings.Split(path, "/")
	if len(parts) != len(t.Tags)+1 {
		return Key{}, fmt.Errorf("key %q: want %d parts, got %d", path, len(t.Tags)+1, len(parts))
	}
	for _, p := range parts {
		if p == "" {
			return Key{}, fmt.Errorf("key %q: empty part", path)
		}
	}
	last := len(parts) - 1
	return Key{Tags: strings.Join(parts[:last], "/"), Name: parts[last]}, nil
}

// Tag returns the value of one tag of the key; "name" is the object's name.
// False means that the type has no such tag.
func (t *Type) Tag(k Key, tag string) (string, bool) {
	if tag == "name" {
		return k.Name, true
	}
	values := strings.Split(k.Tags, "/")
	for i, name := range t.Tags {
		if name == tag && i < len(values) {
			return values[i], true
		}
	}
	return "", false
}

// TagString returns "dc=eqiad,cluster=cache_text,service=https", the form
// conftool prints.
func (t *Type) TagString(k Key) string {
	values := strings.Split(k.Tags, "/")
	terms := make([]string, 0, len(t.Tags))
	for i, name := range t.Tags {
		if i < len(values) {
			terms = append(terms, name+"="+values[i])
		}
	}
	return strings.Join(terms, ",")
}
