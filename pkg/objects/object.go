package objects

// Object is one stored object.
type Object struct {
	Type *Type
	Key  Key
	// Revision is the store's modification revision; 0 for a new object.
	Revision int64
	// Raw is the stored JSON object, as stored.
	Raw []byte
}

// Setting is one field given a value: a JSON value of the field's kind.
type Setting struct {
	Field string
	Value any
}

// Diff is one field a change altered. Old and New are JSON values; Old is nil
// for a field that was not stored and has no default.
type Diff struct {
	Field    string
	Old, New any
}
