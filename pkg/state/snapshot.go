package state

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// Root returns what the keys of all objects of all types begin with, for
// Snapshot and Watch.
func (s *Store) Root() string { return s.cfg.Namespace + "/" + s.cfg.APIVersion + "/" }

// Snapshot returns everything below a prefix at one revision: what Watch would
// say first.
func (s *Store) Snapshot(ctx context.Context, below string) (Snapshot, error) {
	for {
		var snap Snapshot
		var err error
		snap.Revision, err = s.scan(ctx, below, 0, func(e Entry) { snap.Entries = append(snap.Entries, e) })
		if errors.Is(err, rpctypes.ErrCompacted) && ctx.Err() == nil {
			continue // between two pages
		}
		if err != nil {
			return Snapshot{}, fmt.Errorf("list %s: %w", below, s.permit(ctx, err, prefix(below)))
		}
		return snap, nil
	}
}
