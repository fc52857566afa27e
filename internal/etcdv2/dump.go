package etcdv2

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// MaxBytes is how much is read at most: room for half a million nodes.
const MaxBytes = 64 << 20

// maxDepth bounds nesting, which is as deep as a key has parts.
const maxDepth = 100

// ReadDump reads a tree from the JSON that etcd's v2 API answers a recursive GET
// with, or from what tools make of it: the node alone, or a list of nodes. It
// reads to the end of r.
func ReadDump(r io.Reader) (Tree, error) { return readDump(r, MaxBytes) }

func readDump(r io.Reader, limit int64) (Tree, error) {
	d := &dump{dec: json.NewDecoder(&bounded{r, limit + 1, limit})}
	d.dec.UseNumber()
	if err := d.read(); err != nil {
		return Tree{}, d.explain(err)
	}
	slices.SortFunc(d.nodes, func(a, b Node) int { return strings.Compare(a.Key, b.Key) })
	for i := range d.nodes {
		if i > 0 && d.nodes[i].Key == d.nodes[i-1].Key {
			return Tree{}, fmt.Errorf("key %q is there twice", d.nodes[i].Key)
		}
	}
	return Tree{Nodes: d.nodes}, nil
}

// bounded is an error where a limited reader would be an end.
type bounded struct {
	r           io.Reader
	left, limit int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("more than %d MiB", b.limit>>20)
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// dump is one reading of a dump: a token at a time, so that only the nodes
// themselves are held.
type dump struct {
	dec   *json.Decoder
	nodes []Node
}

// explain puts the place before what is wrong.
func (d *dump) explain(err error) error {
	if _, theirs := errors.AsType[*Error](err); theirs {
		return err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("byte %d: cut off: %w", d.dec.InputOffset(), io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("byte %d: %w", d.dec.InputOffset(), err)
}

// read takes the whole document.
func (d *dump) read() error {
	tok, err := d.dec.Token()
	if err != nil {
		return err
	}
	switch tok {
	case json.Delim('['):
		err = d.list(1)
	case json.Delim('{'):
		err = d.top()
	default:
		err = errors.New("neither an answer of etcd's v2 API nor a list of its nodes")
	}
	if err != nil {
		return err
	}
	return d.end()
}

// end wants nothing more to come.
func (d *dump) end() error {
	_, err := d.dec.Token()
	if _, garbage := errors.AsType[*json.SyntaxError](err); garbage || err == nil {
		return errors.New("something follows the JSON")
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// top takes the outermost record: an answer, or a node.
func (d *dump) top() error {
	r, err := d.record(0)
	switch {
	case err != nil:
		return err
	case r.code != 0:
		return &Error{Code: r.code, Message: r.message, Cause: r.cause}
	case r.action != "" && r.action != "get":
		return fmt.Errorf("the answer to a %q, not to a get", r.action)
	case r.node:
		return nil
	case r.key == nil && !r.isDir():
		return errors.New("neither an answer of etcd's v2 API nor one of its nodes")
	}
	return d.take(r)
}

// list takes the nodes of a list that has begun.
func (d *dump) list(depth int) error {
	for d.dec.More() {
		if err := d.node(depth); err != nil {
			return err
		}
	}
	_, err := d.dec.Token()
	return err
}

// node takes one node and all below it.
func (d *dump) node(depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("nested more than %d deep", maxDepth)
	}
	if err := d.open('{', "a node"); err != nil {
		return err
	}
	r, err := d.record(depth)
	if err != nil {
		return err
	}
	return d.take(r)
}

// open takes the delimiter that begins what is wanted.
func (d *dump) open(delim json.Delim, what string) error {
	tok, err := d.dec.Token()
	if err != nil {
		return err
	}
	if tok != delim {
		return fmt.Errorf("want %s, got %v", what, tok)
	}
	return nil
}

// take keeps a record that is a key; directories have been taken with what is
// in them.
func (d *dump) take(r record) error {
	if r.isDir() {
		if r.value != nil && *r.value != "" {
			return fmt.Errorf("key %q: a directory with a value", r.name())
		}
		return nil
	}
	key := "/" + strings.TrimPrefix(r.name(), "/")
	if r.key == nil || key == "/" || path.Clean(key) != key {
		return fmt.Errorf("key %q: no key of a store", r.name())
	}
	n := Node{Key: key, Expires: r.expires(), HasValue: r.value != nil}
	if n.HasValue {
		n.Value = *r.value
	}
	d.nodes = append(d.nodes, n)
	return nil
}
