package generate

import (
	"bytes"
	"fmt"

	"github.com/sluice-lb/sluice/internal/poolfile"
	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// Pool is all nodes of one service at one site, sorted by name.
type Pool struct {
	DC, Cluster, Service string
	Nodes                []*Node
}

// String is the pool's key below the type's path.
func (p Pool) String() string { return p.DC + "/" + p.Cluster + "/" + p.Service }

// Node is one node as stored. It is never changed.
type Node struct {
	object objects.Object
	value  objects.NodeValue
	err    error // why the value is of no use
}

func readNode(t *objects.Type, key objects.Key, e state.Entry) *Node {
	n := &Node{object: objects.Object{Type: t, Key: key, Revision: e.Revision, Raw: e.Value}}
	n.value, n.err = objects.ParseNode(e.Value)
	return n
}

// unfit tells what keeps the node from being in a pool file.
func (n *Node) unfit() error {
	if n.err != nil {
		return n.err
	}
	return n.server().Check()
}

// Host is the node's name.
func (n *Node) Host() string { return n.object.Key.Name }

// Pooled is yes, no or inactive.
func (n *Node) Pooled() (string, error) { return n.value.Pooled, n.named() }

// Weight is 0 or more.
func (n *Node) Weight() (int, error) { return n.value.Weight, n.named() }

// Fields are all that is stored, and the defaults of what is not.
func (n *Node) Fields() (map[string]any, error) { return fieldsOf(n.object) }

// named is the error of a value that is of no use, with the node's name.
func (n *Node) named() error {
	if n.err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", n.object.Key, n.err)
}

// server is the node in a pool file.
func (n *Node) server() poolfile.Entry {
	return poolfile.Entry{Host: n.Host(), Weight: n.value.Weight, Enabled: n.value.Pooled == "yes"}
}

// nodeReader makes pools of snapshots. A node that is stored as it was in the
// last snapshot is the same *Node.
type nodeReader struct {
	t     *objects.Type
	seen  map[string]*Node // by key
	stray []string         // keys of the last snapshot that are no nodes
}

func newNodeReader(t *objects.Type) *nodeReader {
	return &nodeReader{t: t, seen: map[string]*Node{}}
}

// pools groups the nodes; pools and nodes are sorted by key.
func (r *nodeReader) pools(snap state.Snapshot) []Pool {
	seen := make(map[string]*Node, len(snap.Entries))
	byTags := map[string]int{}
	var pools []Pool
	r.stray = nil
	for _, e := range snap.Entries {
		n := r.node(e)
		if n == nil {
			r.stray = append(r.stray, e.Key)
			continue
		}
		seen[e.Key] = n
		i, ok := byTags[n.object.Key.Tags]
		if !ok {
			i = len(pools)
			byTags[n.object.Key.Tags] = i
			pools = append(pools, r.pool(n.object.Key))
		}
		pools[i].Nodes = append(pools[i].Nodes, n)
	}
	r.seen = seen
	return pools
}

// node returns the node of an entry, nil if it is none. A store that was set
// back may have given a revision twice, so the value counts.
func (r *nodeReader) node(e state.Entry) *Node {
	if n := r.seen[e.Key]; n != nil && bytes.Equal(n.object.Raw, e.Value) {
		return n
	}
	key, err := r.t.ParseKey(e.Key)
	if err != nil {
		return nil
	}
	return readNode(r.t, key, e)
}

func (r *nodeReader) pool(key objects.Key) (p Pool) {
	p.DC, _ = r.t.Tag(key, "dc")
	p.Cluster, _ = r.t.Tag(key, "cluster")
	p.Service, _ = r.t.Tag(key, "service")
	return p
}
