// Package docs holds the documents that programs serve themselves.
package docs

import _ "embed" // the documents

// OpenAPI describes the status API of lbd in OpenAPI 3.1.
//
//go:embed openapi.yaml
var OpenAPI string
