package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sluice-lb/sluice/internal/etcdv2"
	"github.com/sluice-lb/sluice/pkg/objects"
)

// importSource is what there is to bring in.
type importSource struct {
	title   string
	offers  []offer
	unknown []strayKey
	// live is where it came from, to look again; nil for a file.
	live   *etcdv2.Client
	prefix string
	tree   etcdv2.Tree
}

// offer is one object to bring in.
type offer struct {
	object objects.Object // Raw is what it is to be
	err    error          // why it cannot be
}

// strayKey is a key that is no object: where it lies, what it is of, and the key
// itself.
type strayKey struct{ where, what, key string }

// source reads what --from names.
func (r *importRun) source(ctx context.Context, s *session) (*importSource, error) {
	urls, files := r.places()
	prefix := "/" + strings.Trim(r.prefix, "/")
	if !r.prefixGiven {
		prefix = "/" + strings.Trim(s.config.Namespace, "/") + "/" + s.config.APIVersion
	}
	switch {
	case len(files) > 1 || len(files) == 1 && len(urls) > 0:
		return nil, withExit(exitUsage, errors.New("--from: want one file, or the URLs of one store"))
	case len(files) == 1 && r.etcdrc != "":
		return nil, withExit(exitUsage, errors.New("--etcdrc: a file has no use for it"))
	case len(files) == 1:
		return r.fromFile(s, files[0], prefix)
	case len(urls) == 0 && r.etcdrc == "":
		return nil, withExit(exitUsage, errors.New("no --from SOURCE given"))
	}
	cfg, err := r.v2Config(s.config, urls)
	if err != nil {
		return nil, err
	}
	client, err := etcdv2.New(cfg)
	if err != nil {
		return nil, withExit(exitUsage, err)
	}
	tree, err := client.Read(ctx, prefix)
	if err != nil {
		client.Close()
		return nil, oneLine{err}
	}
	src := fromTree(s.schema.Types(), tree, prefix)
	src.live = client
	src.title = fmt.Sprintf("%s: %d keys below %s at index %d", tree.Server, src.size(), prefix, tree.Index)
	return src, src.wantKeys(tree.Server)
}

// places sorts what --from names into URLs and files.
func (r *importRun) places() (urls, files []string) {
	for _, from := range r.from {
		if strings.HasPrefix(from, "http://") || strings.HasPrefix(from, "https://") {
			urls = append(urls, strings.Split(from, ",")...)
		} else {
			files = append(files, from)
		}
	}
	return urls, files
}

// fromFile reads a dump or an export.
func (r *importRun) fromFile(s *session, file, prefix string) (*importSource, error) {
	name, in := file, io.Reader(r.stdin)
	if file == "-" {
		name = "stdin"
	} else {
		f, err := os.Open(file)
		if err != nil {
			return nil, readError("dump", file, err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, etcdv2.MaxBytes+1))
	if err == nil && len(data) > etcdv2.MaxBytes {
		err = fmt.Errorf("more than %d MiB", etcdv2.MaxBytes>>20)
	}
	if err != nil {
		return nil, readError("dump", name, err)
	}
	if objects.IsExport(data) {
		return r.fromExport(s, data, name)
	}
	tree, err := etcdv2.ReadDump(strings.NewReader(string(data)))
	if err != nil {
		return nil, readError("dump", name, err)
	}
	src := fromTree(s.schema.Types(), tree, prefix)
	src.title = fmt.Sprintf("%s: %d keys below %s", name, src.size(), prefix)
	if n := len(tree.Nodes) - src.size(); n > 0 {
		src.title += fmt.Sprintf(", %d elsewhere left out", n)
	}
	return src, src.wantKeys(name)
}

// fromExport takes the objects of an export.
func (r *importRun) fromExport(s *session, data []byte, name string) (*importSource, error) {
	if r.prefixGiven {
		return nil, withExit(exitUsage, errors.New("--prefix: an export has no use for it"))
	}
	e, err := objects.ParseExport(data)
	if err != nil {
		return nil, readError("export", name, err)
	}
	src := &importSource{}
	for typ, list := range e.Objects {
		t, known := s.schema.Type(typ)
		for _, o := range list {
			if !known {
				src.stray(typ, noType, o.Key)
				continue
			}
			key, err := t.ParseKey(o.Key)
			if err != nil {
				src.stray(typ, "that are no "+typ, o.Key)
				continue
			}
			src.offer(t, key, o.Raw, nil)
		}
	}
	src.settle()
	src.title = fmt.Sprintf("%s: %d objects of %s/%s at revision %d", name, src.size(), e.Namespace, e.APIVersion, e.Revision)
	return src, src.wantKeys(name)
}

// fromTree makes objects of the keys of a tree that lie below the prefix.
func fromTree(types []*objects.Type, tree etcdv2.Tree, prefix string) *importSource {
	src := &importSource{tree: tree, prefix: prefix}
	for _, n := range tree.Nodes {
		path, ok := strings.CutPrefix(n.Key, strings.TrimSuffix(prefix, "/")+"/")
		if !ok {
			continue
		}
		t, key := typeOf(types, path)
		if t == nil {
			src.strayPath(types, path)
			continue
		}
		src.offer(t, key, []byte(n.Value), unfit(n))
	}
	src.settle()
	return src
}

// typeOf finds the type a path below the prefix is a key of, nil if of none.
func typeOf(types []*objects.Type, path string) (*objects.Type, objects.Key) {
	for _, t := range types {
		if below, ok := strings.CutPrefix(path, t.Path+"/"); ok {
			if key, err := t.ParseKey(below); err == nil {
				return t, key
			}
		}
	}
	return nil, objects.Key{}
}

// strayPath keeps a key of no type under the reason for that.
func (src *importSource) strayPath(types []*objects.Type, path string) {
	for _, t := range types {
		if below, ok := strings.CutPrefix(path, t.Path+"/"); ok {
			src.stray(t.Path, "that are no "+t.Name, below)
			return
		}
	}
	top, _, _ := strings.Cut(path, "/")
	src.stray(top, noType, path)
}

// noType is what most stray keys are of.
const noType = "of no type in the schema"

func (src *importSource) stray(where, what, key string) {
	src.unknown = append(src.unknown, strayKey{where, what, key})
}

// size is how many keys were found where they are looked for.
func (src *importSource) size() int { return len(src.offers) + len(src.unknown) }

// unfit says why a key of the v2 store cannot be an object here, whatever its
// value means.
func unfit(n etcdv2.Node) error {
	switch {
	case !n.HasValue:
		return errors.New("no value: it was deleted, or the source lists keys alone")
	case n.Expires:
		return errors.New("it has a time to live, which an object has not")
	case strings.ContainsRune(n.Key+n.Value, utf8.RuneError):
		return errors.New("not UTF-8, or it holds U+FFFD, which the v2 API puts in the place of what is not")
	}
	return nil
}

func (src *importSource) offer(t *objects.Type, key objects.Key, raw []byte, err error) {
	src.offers = append(src.offers, offer{objects.Object{Type: t, Key: key, Raw: raw}, err})
}

// settle puts what was found in order.
func (src *importSource) settle() {
	slices.SortFunc(src.offers, func(a, b offer) int { return a.object.Key.Compare(b.object.Key) })
	slices.SortFunc(src.unknown, func(a, b strayKey) int {
		return cmp.Or(strings.Compare(a.where, b.where), strings.Compare(a.what, b.what), strings.Compare(a.key, b.key))
	})
}

// wantKeys refuses a source without anything in it: that is hardly what somebody
// wants to bring in, or to be told is the same.
func (src *importSource) wantKeys(name string) error {
	if src.size() > 0 {
		return nil
	}
	src.close()
	if n := len(src.tree.Nodes); n > 0 {
		return fmt.Errorf("%s: no keys below %s, but %d elsewhere, such as %s: see --prefix", name, src.prefix, n, shownKey(src.tree.Nodes[0].Key))
	}
	return fmt.Errorf("%s: holds no keys", name)
}

func (src *importSource) close() {
	if src.live != nil {
		src.live.Close()
	}
}
