package cli

import (
	"context"
	"fmt"

	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// poolType is the type whose objects say what is agreed upon for a pool. The key
// of one is what the keys of the pool's nodes begin with.
const poolType = "pool"

// losses are the nodes that mutations take out of their pools, by pool.
func losses(muts []state.Mutation) map[string][]objects.Object {
	lost := make(map[string][]objects.Object)
	for _, m := range muts {
		if before, after := standings(m); m.Object.Type.Name == "node" && before == serving && after < serving {
			lost[m.Object.Key.Tags] = append(lost[m.Object.Key.Tags], m.Object)
		}
	}
	return lost
}

// floors says of every pool that would be left with fewer nodes, pooled and with
// a weight, than its object wants, how many that are.
func (s *session) floors(ctx context.Context, muts []state.Mutation) (refused []string, err error) {
	lost := losses(muts)
	if len(lost) == 0 {
		return nil, nil
	}
	floors, err := s.agreed(ctx)
	if err != nil {
		return nil, err
	}
	for _, f := range floors {
		if len(lost[f.Key.String()]) == 0 {
			continue
		}
		v, err := f.Value("min_pooled")
		least, _ := v.(int)
		switch {
		case err != nil:
			refused = append(refused, fmt.Sprintf("pool %s: %v", f.Key, oneLine{err}))
			continue
		case least <= 0:
			continue
		}
		left, err := s.left(ctx, lost[f.Key.String()][0], muts)
		if err != nil {
			return nil, err
		}
		if left < least {
			refused = append(refused, fmt.Sprintf("pool %s: %d nodes pooled after, min_pooled %d: too few", f.Key, left, least))
		}
	}
	return refused, nil
}

// agreed returns the objects of all pools that have one.
func (s *session) agreed(ctx context.Context) ([]objects.Object, error) {
	t, ok := s.schema.Type(poolType)
	if !ok {
		return nil, nil
	}
	if f, ok := t.Field("min_pooled"); !ok || f.Kind != objects.Int {
		return nil, nil // a type of that name, but not ours
	}
	all, err := t.SelectExact(nil)
	if err != nil {
		return nil, err
	}
	found, err := s.store.List(ctx, t, all)
	return found.Objects, err
}

// left counts the nodes of one's pool that will be pooled with a weight. One
// whose value cannot be read counts for nothing.
func (s *session) left(ctx context.Context, one objects.Object, muts []state.Mutation) (n int, err error) {
	tags := make(map[string]string)
	for _, tag := range one.Type.Tags {
		tags[tag], _ = one.Type.Tag(one.Key, tag)
	}
	sel, err := one.Type.SelectExact(tags)
	if err != nil {
		return 0, err
	}
	found, err := s.store.List(ctx, one.Type, sel)
	if err != nil {
		return 0, err
	}
	after := make(map[objects.Key]standing, len(muts))
	for _, m := range muts {
		_, after[m.Object.Key] = standings(m)
	}
	for _, o := range found.Objects {
		will, known := standingOf(o.Raw)
		if at, ok := after[o.Key]; ok {
			will, known = at, true
		}
		if known && will == serving {
			n++
		}
	}
	return n, nil
}

// floorsWithout are floors for a depool of the objects.
func (s *session) floorsWithout(ctx context.Context, leaving []objects.Object) ([]string, error) {
	var muts []state.Mutation
	for _, o := range leaving {
		muts = append(muts, state.Mutation{Object: o, Set: []objects.Setting{{Field: "pooled", Value: "no"}}})
	}
	return s.floors(ctx, muts)
}
