package generate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// layout says what pools make of files below a directory.
type layout interface {
	// names returns the names of the files a pool goes into; there may be none.
	names(Pool) []string
	// shared tells whether two pools may be in one file.
	shared(a, b Pool) bool
	// render returns the contents of a file made of pools, and how many hosts
	// it lists. A node whose value is of no use is as it is in the old file.
	render(pools []Pool, old []byte) (data []byte, hosts int, err error)
	// hosts counts those in a file.
	hosts(data []byte) int
}

// poolKind is the kind of files that a layout makes of nodes.
type poolKind struct {
	layout
	served string // the first part of the paths served
	dir    string
	nodes  *nodeReader
}

func newPoolKind(l layout, served, out string, node *objects.Type) *poolKind {
	return &poolKind{layout: l, served: served, dir: out, nodes: newNodeReader(node)}
}

func (k *poolKind) reads() []string { return []string{k.nodes.t.Path + "/"} }

func (k *poolKind) out() string { return k.dir }

func (k *poolKind) locate(path string) (place, bool) {
	name, ok := strings.CutPrefix(path, k.served+"/")
	return place{k.dir, name}, ok && checkName(name) == nil
}

func (k *poolKind) plan(snaps []state.Snapshot) (plan, error) {
	pools := k.nodes.pools(snaps[0])
	p := plan{stray: []stray{{k.nodes.t, k.nodes.stray}}}
	if len(pools) == 0 {
		return p, errors.New("holds no nodes: nothing written")
	}
	for _, f := range arrange(k.layout, pools) {
		p.files = append(p.files, k.file(f))
	}
	if len(p.files) == 0 {
		return p, fmt.Errorf("holds %d pools and none of those that are to have a file: nothing written", len(pools))
	}
	return p, nil
}

func (k *poolKind) file(a arranged) file {
	return file{
		place: place{k.dir, a.name}, label: a.name, parts: a.parts(), err: a.err,
		build: func(_ context.Context, old []byte) (made, error) { return k.build(a.pools, old) },
	}
}

func (k *poolKind) build(pools []Pool, old []byte) (made, error) {
	data, hosts, err := k.render(pools, old)
	m := made{data: data, what: fmt.Sprintf("%d hosts", hosts), empty: hosts == 0}
	if n := k.hosts(old); m.empty && n > 0 {
		m.lost = fmt.Errorf("nobody would be left of %d", n)
	}
	return m, err
}

// arranged is a file and the pools that go into it.
type arranged struct {
	name  string
	pools []Pool
	err   error
}

// parts are the pools by name, and their nodes.
func (a arranged) parts() []any {
	var parts []any
	for _, p := range a.pools {
		parts = append(parts, p.String())
		for _, n := range p.Nodes {
			parts = append(parts, n)
		}
	}
	return parts
}

// arrange sorts the pools into files.
func arrange(l layout, pools []Pool) []arranged {
	var files []arranged
	byName := map[string]int{}
	for _, p := range pools {
		for _, name := range l.names(p) {
			i, ok := byName[name]
			if !ok {
				i = len(files)
				byName[name] = i
				files = append(files, arranged{name: name, err: checkName(name)})
			}
			f := &files[i]
			if ok && !l.shared(f.pools[0], p) && f.err == nil {
				f.err = fmt.Errorf("both %s and %s would be in it", f.pools[0], p)
			}
			f.pools = append(f.pools, p)
		}
	}
	return files
}
