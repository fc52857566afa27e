// Package schema holds the object types a confctl without a schema.yaml of its
// own knows: data only, in conftool's format, a file for each type.
package schema

import _ "embed"

//go:embed node.yaml
var node string

//go:embed service.yaml
var service string

//go:embed discovery.yaml
var discovery string

//go:embed geodns.yaml
var geodns string

//go:embed pool.yaml
var pool string

// Default returns the default schema.yaml: all types, one after the other.
func Default() []byte {
	return []byte(node + "\n" + service + "\n" + discovery + "\n" + geodns + "\n" + pool)
}
