package etcdv2

import (
	"encoding/json"
	"fmt"
	"slices"
)

// record is one JSON object of a dump, without the nodes in it: an answer, an
// error or a node.
type record struct {
	key, value *string
	dir        bool
	nodes      bool // there is a list of them
	ttl        json.Number
	expiration *string

	action string
	node   bool // there is one

	code           int
	message, cause string
}

// isDir tells whether it is a directory.
func (r record) isDir() bool { return r.dir || r.nodes }

// expires tells whether the store would take it away by itself.
func (r record) expires() bool { return r.expiration != nil || r.ttl != "" && r.ttl != "0" }

func (r record) name() string {
	if r.key == nil {
		return ""
	}
	return *r.key
}

// record takes the members of an object that has begun. Nodes it meets are taken
// on the way.
func (d *dump) record(depth int) (r record, err error) {
	var seen []string
	for d.dec.More() {
		tok, err := d.dec.Token()
		if err != nil {
			return r, err
		}
		name, _ := tok.(string) // the decoder lets nothing else stand here
		if slices.Contains(seen, name) {
			return r, fmt.Errorf("%q is there twice in one node", name)
		}
		known, err := d.member(&r, name, depth)
		if err != nil {
			return r, err
		}
		if known {
			seen = append(seen, name)
		}
	}
	_, err = d.dec.Token()
	return r, err
}

// member takes the value of one member. One that means nothing here is passed
// over.
func (d *dump) member(r *record, name string, depth int) (known bool, err error) {
	into := r.ofNode(name)
	if depth == 0 && into == nil {
		into = r.ofAnswer(name)
	}
	switch {
	case name == "nodes":
		r.nodes = true
		err = d.open('[', "a list of nodes")
		if err == nil {
			err = d.list(depth + 1)
		}
	case name == "node" && depth == 0:
		r.node = true
		err = d.node(1)
	case into == nil:
		return false, d.dec.Decode(new(json.RawMessage))
	default:
		if err = d.dec.Decode(into); err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
	}
	return true, err
}

// ofNode returns where a member of a node goes, nil if nowhere.
func (r *record) ofNode(name string) any {
	switch name {
	case "key":
		return &r.key
	case "value":
		return &r.value
	case "dir":
		return &r.dir
	case "ttl":
		return &r.ttl
	case "expiration":
		return &r.expiration
	}
	return nil
}

// ofAnswer returns where a member of an answer or an error goes, nil if nowhere.
func (r *record) ofAnswer(name string) any {
	switch name {
	case "action":
		return &r.action
	case "errorCode":
		return &r.code
	case "message":
		return &r.message
	case "cause":
		return &r.cause
	}
	return nil
}
