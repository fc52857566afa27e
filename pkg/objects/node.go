package objects

import "fmt"

// NodeValue is what a node object stores.
type NodeValue struct {
	// Pooled is "yes", "no" or "inactive".
	Pooled string
	// Weight is 0 or more.
	Weight int
}

// ParseNode reads the JSON of a node object. Fields that are missing or null
// have the built-in type's defaults; anything that does not fit is an error,
// so that a balancer keeps what it had.
func ParseNode(raw []byte) (NodeValue, error) {
	list, err := members(raw)
	if err != nil {
		return NodeValue{}, fmt.Errorf("node: %w", err)
	}
	values := make(map[string]any)
	for _, f := range Node().Fields {
		v, err := f.value(list)
		if err != nil {
			return NodeValue{}, fmt.Errorf("node: %w", inField(f, err))
		}
		values[f.Name] = v
	}
	weight, _ := values["weight"].(int)
	pooled, _ := values["pooled"].(string)
	if weight < 0 {
		return NodeValue{}, fmt.Errorf("node: field weight: %d is negative", weight)
	}
	return NodeValue{Pooled: pooled, Weight: weight}, nil
}
