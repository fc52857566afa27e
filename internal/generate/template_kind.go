package generate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluice-lb/sluice/internal/poolfile"
	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// Template names a template's file, and the file it makes.
type Template struct{ File, Dest string }

// Templates returns the kind of files that templates make of objects of any
// type. Confd's functions see what is below a prefix, "/" being all there is.
func Templates(list []Template, schema *objects.Schema, prefix string) (Kind, error) {
	k := &templateKind{schema: schema, prefix: strings.Trim(prefix, "/")}
	if k.prefix != "" {
		k.prefix += "/"
	}
	node, ok := schema.Type("node")
	if !ok {
		return nil, errors.New("the schema has no type node")
	}
	k.nodes = newNodeReader(node)
	for _, pair := range list {
		t, err := readTemplate(pair.File, pair.Dest, schema)
		if err != nil {
			return nil, err
		}
		k.templates = append(k.templates, t)
	}
	return k, k.apart()
}

// apart refuses two templates for one file, and for one served path.
func (k *templateKind) apart() error {
	seen := map[string]string{}
	for _, t := range k.templates {
		path, err := filepath.Abs(t.dest)
		if err != nil {
			return fmt.Errorf("file %s: %w", t.dest, err)
		}
		if other, ok := seen[path]; ok {
			return fmt.Errorf("templates %s and %s would both write %s", other, t.name, t.dest)
		}
		seen[path] = t.name
	}
	return nil
}

// templateKind is the kind of files that templates make.
type templateKind struct {
	templates []*fileTemplate
	schema    *objects.Schema
	nodes     *nodeReader
	prefix    string // of confd's keys
}

// needs returns the paths a template is made of.
func (k *templateKind) needs(t *fileTemplate) []string {
	var paths []string
	if t.uses.pools || t.uses.sites {
		paths = append(paths, k.nodes.t.Path+"/")
	}
	for _, name := range t.uses.types {
		typ, _ := k.schema.Type(name) // it was looked for when the template was read
		paths = append(paths, typ.Path+"/")
	}
	if t.uses.tree {
		paths = append(paths, k.prefix)
	}
	return paths
}

func (k *templateKind) reads() []string {
	var paths []string
	for _, t := range k.templates {
		paths = append(paths, k.needs(t)...)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

func (k *templateKind) out() string {
	var files []string
	for _, t := range k.templates {
		files = append(files, t.dest)
	}
	return strings.Join(files, " ")
}

// locate finds the file by its whole path, below template/.
func (k *templateKind) locate(path string) (place, bool) {
	name, ok := strings.CutPrefix(path, "template/")
	i := slices.IndexFunc(k.templates, func(t *fileTemplate) bool { return strings.TrimPrefix(t.dest, "/") == name })
	if !ok || i < 0 {
		return place{}, false
	}
	return k.templates[i].place(), true
}

func (k *templateKind) plan(snaps []state.Snapshot) (plan, error) {
	byPath := map[string]state.Snapshot{}
	for i, path := range k.reads() {
		byPath[path] = snaps[i]
	}
	m, odd := k.material(byPath)
	p := plan{stray: odd}
	for _, t := range k.templates {
		f := file{place: t.place(), label: t.dest, parts: []any{t}}
		var lacking error
		for _, path := range k.needs(t) {
			f.parts = append(f.parts, identity(byPath[path]))
			if len(byPath[path].Entries) == 0 && lacking == nil {
				lacking = fmt.Errorf("the store holds nothing below %q", "/"+path)
			}
		}
		f.build = func(ctx context.Context, old []byte) (made, error) { return t.build(ctx, m, lacking, old) }
		p.files = append(p.files, f)
	}
	return p, nil
}

// identity is equal for snapshots with the very same entries: a change makes
// new ones.
func identity(snap state.Snapshot) any {
	if len(snap.Entries) == 0 {
		return nil
	}
	return &snap.Entries[0]
}

// material makes of the snapshots what templates see.
func (k *templateKind) material(byPath map[string]state.Snapshot) (m material, odd []stray) {
	m = material{objects: map[string][]Object{}, tree: &tree{}}
	u := k.uses()
	keys := map[string][]string{} // that are no objects, by type
	if u.pools || u.sites {
		m.Pools, keys[k.nodes.t.Name] = k.pools(byPath[k.nodes.t.Path+"/"])
	}
	if u.sites {
		m.Sites = sites(m.Pools)
	}
	if u.tree {
		m.tree = newTree(byPath[k.prefix])
	}
	for _, name := range u.types {
		t, _ := k.schema.Type(name)
		var more []string
		m.objects[name], more = readObjects(t, byPath[t.Path+"/"])
		keys[name] = append(keys[name], more...)
	}
	for _, t := range k.schema.Types() {
		slices.Sort(keys[t.Name])
		odd = append(odd, stray{t, slices.Compact(keys[t.Name])})
	}
	return m, odd
}

// uses is what all templates together name.
func (k *templateKind) uses() (u uses) {
	for _, t := range k.templates {
		u.pools = u.pools || t.uses.pools
		u.sites = u.sites || t.uses.sites
		u.tree = u.tree || t.uses.tree
		u.types = append(u.types, t.uses.types...)
	}
	slices.Sort(u.types)
	u.types = slices.Compact(u.types)
	return u
}

// pools returns the pools, sorted, without what no file could hold.
func (k *templateKind) pools(snap state.Snapshot) (pools []Pool, stray []string) {
	all := k.nodes.pools(snap)
	stray = k.nodes.stray
	for _, p := range all {
		var fit []*Node
		for _, n := range p.Nodes {
			if isText(p.String()) && poolfile.CheckHost(n.Host()) == nil {
				fit = append(fit, n)
			} else {
				stray = append(stray, n.object.Key.String())
			}
		}
		if p.Nodes = fit; len(fit) > 0 {
			pools = append(pools, p)
		}
	}
	slices.SortFunc(pools, func(a, b Pool) int {
		return cmp.Or(cmp.Compare(a.DC, b.DC), cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Service, b.Service))
	})
	return pools, stray
}

// sites orders the nodes of pools by DC, cluster, host and service.
func sites(pools []Pool) map[string]map[string]map[string]map[string]*Node {
	all := map[string]map[string]map[string]map[string]*Node{}
	for _, p := range pools {
		clusters := within(all, p.DC)
		for _, n := range p.Nodes {
			within(within(clusters, p.Cluster), n.Host())[p.Service] = n
		}
	}
	return all
}

// within returns the map at a key, made where there is none.
func within[V any](outer map[string]map[string]V, key string) map[string]V {
	if outer[key] == nil {
		outer[key] = map[string]V{}
	}
	return outer[key]
}
