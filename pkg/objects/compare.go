package objects

import (
	"fmt"
	"reflect"
)

// Compare returns the members in which two JSON objects differ, in the order of
// the first and then of the second; the value of one that is not there is nil.
// Order and spacing make no difference, how a number is written does.
func Compare(before, after []byte) ([]Diff, error) {
	was, err := members(before)
	if err != nil {
		return nil, err
	}
	is, err := members(after)
	if err != nil {
		return nil, err
	}
	others := make(map[string]member, len(is))
	for _, m := range is {
		others[m.name] = m
	}
	var diffs []Diff
	for _, m := range was {
		other, there := others[m.name]
		delete(others, m.name)
		d, err := compareMembers(m.name, m.raw, other.raw)
		if err != nil {
			return nil, err
		}
		if !there || !reflect.DeepEqual(d.Old, d.New) {
			diffs = append(diffs, d)
		}
	}
	for _, m := range is {
		if _, left := others[m.name]; !left {
			continue
		}
		d, err := compareMembers(m.name, nil, m.raw)
		if err != nil {
			return nil, err
		}
		diffs = append(diffs, d)
	}
	return diffs, nil
}

// compareMembers reads the two values of one member; one that is not there has
// no text.
func compareMembers(name string, was, is []byte) (d Diff, err error) {
	d.Field = name
	if was != nil {
		d.Old, err = decode(was)
	}
	if is != nil && err == nil {
		d.New, err = decode(is)
	}
	if err != nil {
		return d, fmt.Errorf("field %s: %w", name, err)
	}
	return d, nil
}
