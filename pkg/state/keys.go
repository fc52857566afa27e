package state

import (
	"context"
	"fmt"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sluice-lb/sluice/pkg/objects"
)

// Keys returns the keys of the objects that the selector matches, sorted, and
// not their values: what a shell needs to suggest names.
func (s *Store) Keys(ctx context.Context, t *objects.Type, sel *objects.Selector) ([]objects.Key, error) {
	base := s.base(t)
	one, cancel := s.request(ctx)
	defer cancel()
	resp, err := s.client.Get(one, base+sel.Prefix(), clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return nil, fmt.Errorf("list keys of %s: %w", t.Path, s.explain(ctx, err))
	}
	var keys []objects.Key
	for _, kv := range resp.Kvs {
		key, err := t.ParseKey(strings.TrimPrefix(string(kv.Key), base))
		if err == nil && sel.Match(key) {
			keys = append(keys, key)
		}
	}
	return keys, nil
}
