package state

import (
	"context"
	"fmt"
	"strings"

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

// List returns the objects of the type that the selector matches, in one
// request that touches only the selector's literal prefix.
func (s *Store) List(ctx context.Context, t *objects.Type, sel *objects.Selector) (Listing, error) {
	base := s.base(t)
	one, cancel := s.request(ctx)
	defer cancel()
	resp, err := s.client.Get(one, base+sel.Prefix(), clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByKey, clientv3.SortAscend))
	if err != nil {
		return Listing{}, fmt.Errorf("list %s: %w", t.Path, s.permit(ctx, err, prefix(base+sel.Prefix())))
	}
	l := Listing{Revision: resp.Header.Revision}
	for _, kv := range resp.Kvs {
		path := strings.TrimPrefix(string(kv.Key), base)
		key, err := t.ParseKey(path)
		switch {
		case err != nil:
			l.Stray = append(l.Stray, path)
		case sel.Match(key):
			l.take(sel, objects.Object{Type: t, Key: key, Revision: kv.ModRevision, Raw: kv.Value})
		}
	}
	return l, nil
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
