package state

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sluice-lb/sluice/pkg/objects"
)

// Listing is a consistent view of all objects that a selector matches.
type Listing struct {
	// Revision is the store's revision the listing is of.
	Revision int64
	// Objects are sorted by key. Their Raw may still be malformed.
	Objects []objects.Object
	// Stray are keys below the type's path that are no key of that type.
	Stray []string
	// Malformed says which objects the selector's terms of fields could not
	// be judged by; they are not among Objects.
	Malformed []error
}

// List returns the objects of the type that the selector matches, touching only
// the selector's literal prefix: in one request, or, where there are more keys
// than one answer should hold, in pages of one revision.
func (s *Store) List(ctx context.Context, t *objects.Type, sel *objects.Selector) (Listing, error) {
	for {
		l, err := s.list(ctx, t, sel)
		if errors.Is(err, rpctypes.ErrCompacted) && ctx.Err() == nil {
			continue // between two pages
		}
		if err != nil {
			return Listing{}, fmt.Errorf("list %s: %w", t.Path, s.permit(ctx, err, prefix(s.base(t)+sel.Prefix())))
		}
		return l, nil
	}
}

func (s *Store) list(ctx context.Context, t *objects.Type, sel *objects.Selector) (l Listing, err error) {
	literal := sel.Prefix()
	l.Revision, err = s.scan(ctx, s.base(t)+literal, 0, func(e Entry) {
		e.Key = literal + e.Key
		l.add(t, sel, e)
	})
	return l, err
}

// ListTypes returns all objects of each of the types, at one revision: in one
// request, but for types with more objects than one answer should hold.
func (s *Store) ListTypes(ctx context.Context, types []*objects.Type) ([]Listing, error) {
	for {
		all, err := s.listTypes(ctx, types)
		if errors.Is(err, rpctypes.ErrCompacted) && ctx.Err() == nil {
			continue // between two pages
		}
		if err != nil {
			var needs []need
			for _, t := range types {
				needs = append(needs, prefix(s.base(t)))
			}
			return nil, fmt.Errorf("list %s: %w", pathsOf(types), s.permit(ctx, err, needs...))
		}
		return all, nil
	}
}

func (s *Store) listTypes(ctx context.Context, types []*objects.Type) ([]Listing, error) {
	var gets []clientv3.Op
	for _, t := range types {
		gets = append(gets, clientv3.OpGet(s.base(t), clientv3.WithPrefix(), clientv3.WithLimit(page)))
	}
	resp, err := s.txn(ctx, nil, gets, nil)
	if err != nil {
		return nil, err
	}
	all := make([]Listing, len(types))
	for i, t := range types {
		every, err := t.SelectExact(nil)
		if err != nil {
			return nil, err
		}
		l, base := &all[i], s.base(t)
		l.Revision = resp.Header.Revision
		first := resp.Responses[i].GetResponseRange()
		for _, kv := range first.Kvs {
			l.add(t, every, entry(kv, base))
		}
		if first.More {
			add := func(e Entry) { l.add(t, every, e) }
			if _, err := s.scanFrom(ctx, after(first.Kvs), base, l.Revision, add); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// pathsOf names the types' paths, for errors.
func pathsOf(types []*objects.Type) string {
	var paths []string
	for _, t := range types {
		paths = append(paths, t.Path)
	}
	return strings.Join(paths, ", ")
}

// add sorts an entry in; its key is below the type's path.
func (l *Listing) add(t *objects.Type, sel *objects.Selector, e Entry) {
	key, err := t.ParseKey(e.Key)
	switch {
	case err != nil:
		l.Stray = append(l.Stray, e.Key)
	case sel.Match(key):
		l.take(sel, objects.Object{Type: t, Key: key, Revision: e.Revision, Raw: e.Value})
	}
}

// take adds an object if what it holds is selected, too.
func (l *Listing) take(sel *objects.Selector, o objects.Object) {
	switch ok, err := sel.MatchFields(o); {
	case err != nil:
		l.Malformed = append(l.Malformed, err)
	case ok:
		l.Objects = append(l.Objects, o)
	}
}
