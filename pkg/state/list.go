package state

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

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
		path := literal + e.Key
		key, err := t.ParseKey(path)
		switch {
		case err != nil:
			l.Stray = append(l.Stray, path)
		case sel.Match(key):
			l.take(sel, objects.Object{Type: t, Key: key, Revision: e.Revision, Raw: e.Value})
		}
	})
	return l, err
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
