package cli

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-lb/sluice/internal/poolfile"
	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// nodePool is all nodes of one service, sorted by name.
type nodePool struct {
	dc, cluster, service string
	nodes                []poolNode
}

// String is the pool's key below the type's path.
func (p nodePool) String() string { return p.dc + "/" + p.cluster + "/" + p.service }

// poolNode is one node as stored.
type poolNode struct {
	tags     string
	name     string
	revision int64
	value    objects.NodeValue
	err      error // why the value is of no use
}

// entry is the node in a pool file.
func (n poolNode) entry() poolfile.Entry {
	return poolfile.Entry{Host: n.name, Weight: n.value.Weight, Enabled: n.value.Pooled == "yes"}
}

// nodeReader makes pools of entries and reads each value once.
type nodeReader struct {
	t    *objects.Type
	seen map[string]poolNode // by key
}

func newNodeReader(t *objects.Type) *nodeReader {
	return &nodeReader{t: t, seen: map[string]poolNode{}}
}

// pools groups the entries, which are sorted by key and hold keys below the
// type's path. Keys that are no nodes are left out.
func (r *nodeReader) pools(entries []state.Entry) []nodePool {
	seen := make(map[string]poolNode, len(entries))
	byTags := map[string]int{}
	var pools []nodePool
	for _, e := range entries {
		n, known := r.seen[e.Key]
		if !known || n.revision != e.Revision {
			key, err := r.t.ParseKey(e.Key)
			if err != nil {
				continue
			}
			n = readNode(key, e)
		}
		seen[e.Key] = n
		i, ok := byTags[n.tags]
		if !ok {
			i = len(pools)
			byTags[n.tags] = i
			pools = append(pools, r.pool(n))
		}
		pools[i].nodes = append(pools[i].nodes, n)
	}
	r.seen = seen
	return pools
}

func (r *nodeReader) pool(n poolNode) nodePool {
	key := objects.Key{Tags: n.tags, Name: n.name}
	var p nodePool
	p.dc, _ = r.t.Tag(key, "dc")
	p.cluster, _ = r.t.Tag(key, "cluster")
	p.service, _ = r.t.Tag(key, "service")
	return p
}

func readNode(key objects.Key, e state.Entry) poolNode {
	n := poolNode{tags: key.Tags, name: key.Name, revision: e.Revision}
	if n.value, n.err = objects.ParseNode(e.Value); n.err == nil {
		n.err = n.entry().Check()
	}
	return n
}

// layout says which files there are and what stands in them.
type layout interface {
	// files returns the name of the file a pool goes into, below DIR.
	file(nodePool) string
	// render returns the contents of a file made of pools, and how many hosts
	// it lists. A node whose value is of no use is as it is in the old file.
	render(pools []nodePool, old []byte) (data []byte, hosts int, err error)
	// hosts counts those in a file.
	hosts(data []byte) int
	// shared tells whether several pools may be in one file.
	shared(a, b nodePool) bool
}

// generatedFile is a file and what goes into it.
type generatedFile struct {
	name  string
	pools []nodePool
	err   error // why it cannot be written
}

// arrange sorts the pools into files.
func arrange(l layout, pools []nodePool) []generatedFile {
	var files []generatedFile
	byName := map[string]int{}
	for _, p := range pools {
		name := l.file(p)
		i, ok := byName[name]
		if !ok {
			i = len(files)
			byName[name] = i
			files = append(files, generatedFile{name: name, err: checkFileName(name)})
		}
		f := &files[i]
		if ok && !l.shared(f.pools[0], p) && f.err == nil {
			f.err = fmt.Errorf("both %s and %s would be in it", f.pools[0], p)
		}
		f.pools = append(f.pools, p)
	}
	return files
}

// checkFileName refuses what an object's key could make of a path. Names that
// begin with a point are those of files not finished yet.
func checkFileName(name string) error {
	hidden := func(part string) bool { return part == "" || part[0] == '.' }
	if !fs.ValidPath(name) || slices.ContainsFunc(strings.Split(name, "/"), hidden) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		return fmt.Errorf("%q is no name for a file", name)
	}
	return nil
}

// fingerprint is equal for files of which nothing has been written since.
func (f generatedFile) fingerprint() string {
	var b []byte
	for _, p := range f.pools {
		b = append(append(b, p.String()...), '\n')
		for _, n := range p.nodes {
			b = append(append(b, n.name...), ' ')
			b = append(strconv.AppendInt(b, n.revision, 10), '\n')
		}
	}
	return string(b)
}
