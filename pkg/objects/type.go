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

// The kinds of conftool's schema language.
const (
	Int      Kind = "int"
	String   Kind = "string"
	Bool     Kind = "bool"
	List     Kind = "list"
	Dict     Kind = "dict"
	Enum     Kind = "enum"
	CIDRList Kind = "cidr_list"
	Any      Kind = "any"
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
