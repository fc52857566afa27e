package catalog

import (
	"errors"
	"math"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// alwaysLists are the options that PyBal takes for lists even where one value
// would do.
func alwaysLists() []string { return []string{"url", "hostnames", "arguments"} }

// option reads an option: one value, or a list of them.
func (r *reader) option(name string, v value) (Option, bool) {
	list := v.node.Kind == yaml.SequenceNode
	o := Option{Name: name, List: list || slices.Contains(alwaysLists(), name)}
	items := []value{v}
	if list {
		items = r.items(v)
	}
	if len(items) == 0 {
		r.bad(v, "is an empty list")
		return o, false
	}
	for _, item := range items {
		text, err := plain(item.node)
		if err == nil {
			err = checkOption(text, list)
		}
		if err == nil {
			err = checkHiera(text)
		}
		if err != nil {
			r.bad(item, "%v", err)
			return o, false
		}
		o.Values = append(o.Values, text)
	}
	return o, true
}

// checkOption refuses a value that could not be written.
func checkOption(text string, list bool) error {
	check := checkPlain
	if list {
		check = checkCharacters
	}
	if err := check(text); err != nil {
		return errors.New(shown(text) + " " + err.Error())
	}
	return nil
}

// plain returns a scalar in the words pybal.conf has for it.
func plain(n *yaml.Node) (string, error) {
	switch n.ShortTag() {
	case "!!bool":
		var b bool
		err := n.Decode(&b)
		return strconv.FormatBool(b), err
	case "!!int":
		if decimal.MatchString(n.Value) {
			return n.Value, nil
		}
		return "", errors.New(shown(n.Value) + " is a number in a notation of YAML's: write it in decimal")
	case "!!float":
		f, err := strconv.ParseFloat(n.Value, 64)
		if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
			return "", errors.New(shown(n.Value) + " is not a number of use")
		}
		return strconv.FormatFloat(f, 'g', -1, 64), nil
	case "!!str", "!!timestamp":
		if n.Kind == yaml.ScalarNode {
			return n.Value, nil
		}
	}
	return "", errors.New("want a value or a list of values, got " + describe(n))
}
