package objects

// Type is one kind of object: where it lives, what names it, what it holds.
type Type struct {
	// Name is what --object-type takes: "node".
	Name string
	// Path is the type's base path below namespace and version: "pools".
	Path string
	// Tags are the names of the tags, in the order they stand in a key.
	Tags []string
	// Fields are the fields in the order declared.
	Fields []Field
	// Depends names types that sync loads before this one.
	Depends []string
	// FreeForm types keep and show stored fields the schema does not name.
	FreeForm bool
	// JSONSchema is true for a type whose values the schema wants checked by
	// JSON Schema files, those of Rules. Its fields are of kind Any.
	JSONSchema bool
	Rules      []Rule
}

// Field is one field of a type.
type Field struct {
	Name string
	Kind Kind
	// Enum lists the allowed values of an Enum field.
	Enum []string
	// Default is the value of a field that is not stored: a JSON value.
	Default any
}

// Kind is the type of a field's value.
type Kind string

// The kinds of conftool's schema language, each with the Go type of its JSON
// values (Setting.Value, Object.Value).
const (
	Int      Kind = "int"       // int
	String   Kind = "string"    // string
	Bool     Kind = "bool"      // bool
	List     Kind = "list"      // []any
	Dict     Kind = "dict"      // map[string]any
	Enum     Kind = "enum"      // string, one of Field.Enum
	CIDRList Kind = "cidr_list" // []any of strings, each an address or a network
	Any      Kind = "any"       // nil, bool, int, json.Number, string, []any, map[string]any
)

// Field returns the named field.
func (t *Type) Field(name string) (Field, bool) {
	for _, f := range t.Fields {
		if f.Name == name {
			return f, true
		}
	}
	return Field{}, false
}

// settable returns the named field, or, in a free-form type, a field of kind
// Any for a name the schema does not have.
func (t *Type) settable(name string) (Field, error) {
	f, ok := t.Field(name)
	switch {
	case ok:
		return f, nil
	case t.FreeForm:
		return Field{Name: name, Kind: Any}, nil
	}
	return Field{}, &InvalidError{Field: name, Reason: "Key " + name + " not in the schema"}
}

// Node is conftool's built-in type: a server in a service's pool.
func Node() *Type {
	return &Type{
		Name: "node",
		Path: "pools",
		Tags: []string{"dc", "cluster", "service"},
		Fields: []Field{
			{Name: "weight", Kind: Int, Default: 0},
			{Name: "pooled", Kind: Enum, Enum: []string{"yes", "no", "inactive"}, Default: "inactive"},
		},
	}
}
