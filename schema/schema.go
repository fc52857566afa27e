// Package schema holds the schema a confctl without a schema.yaml of its own
// works with: data only, in conftool's format. The node type is not in it; it
// is built into pkg/objects.
package schema

import _ "embed"

//go:embed default.yaml
var defaultYAML string

// Default returns the default schema.yaml.
func Default() []byte { return []byte(defaultYAML) }
