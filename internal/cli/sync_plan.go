package cli

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// syncPlan is what a sync is to do.
type syncPlan struct {
	program string
	parts   []*syncPart
	// muts create in the order of the types and remove in the reverse one.
	muts []state.Mutation
}

// syncPart is what is to be done with one type.
type syncPart struct {
	t       *objects.Type
	live    int // objects in the store
	present bool
	create  []objects.Object
	remove  []objects.Object
	stray   []string
	trouble []error // what keeps it from being done, all or part of it
}

// plan compares the tree with the store, all of it at one revision.
func (r *syncRun) plan(ctx context.Context, s *session, tree tree) (p syncPlan, err error) {
	p.program = r.root.Name()
	types, err := s.schema.LoadOrder()
	if err != nil {
		return p, err
	}
	found, err := s.store.ListTypes(ctx, types)
	if err != nil {
		return p, err
	}
	for i, t := range types {
		part := compare(t, tree.read(t), found[i])
		part.spare(r.maxRemoved, r.force)
		p.parts = append(p.parts, part)
		for _, o := range part.create {
			p.muts = append(p.muts, state.Mutation{Verb: state.Create, Object: o})
		}
	}
	for _, part := range slices.Backward(p.parts) {
		for _, o := range part.remove {
			p.muts = append(p.muts, state.Mutation{Verb: state.Delete, Object: o})
		}
	}
	return p, nil
}

// compare works out what to do with a type. Files that cannot be read take
// nothing away: what they would have named is not known. A type without a
// directory is somebody else's to sync, and worth a word only when it has
// objects.
func compare(t *objects.Type, want declared, have state.Listing) *syncPart {
	part := &syncPart{t: t, live: len(have.Objects), present: want.present, stray: have.Stray}
	if want.present || part.live > 0 {
		for _, err := range want.trouble {
			part.keep("%s: %w: nothing removed", t.Name, err)
		}
	}
	live := make(map[objects.Key]bool, len(have.Objects))
	for _, o := range have.Objects {
		live[o.Key] = true
		if want.complete && !want.keys[o.Key] {
			part.remove = append(part.remove, o)
		}
	}
	for k := range want.keys {
		if !live[k] {
			part.create = append(part.create, objects.Object{Type: t, Key: k})
		}
	}
	slices.SortFunc(part.create, func(a, b objects.Object) int { return a.Key.Compare(b.Key) })
	return part
}

// keep notes why something is not done.
func (p *syncPart) keep(format string, args ...any) {
	p.trouble = append(p.trouble, fmt.Errorf(format, args...))
}

// spare removes nothing where that would do harm, and nobody forces it.
func (p *syncPart) spare(most percentage, force bool) {
	if force || len(p.remove) == 0 {
		return
	}
	before := len(p.trouble)
	if n := len(p.remove); most.exceeded(n, p.live) {
		p.keep("%s: %d of %d objects would be removed, more than %s: nothing removed without --force", p.t.Name, n, p.live, most)
	}
	const named = 5
	var pooled []string
	for _, o := range p.remove {
		is, err := isPooled(o)
		if err != nil {
			p.keep("%w: nothing removed without --force", err)
		}
		if is {
			pooled = append(pooled, o.Key.String())
		}
	}
	for _, key := range pooled[:min(named, len(pooled))] {
		p.keep("%s %s is pooled: nothing removed without --force", p.t.Name, key)
	}
	if n := len(pooled) - named; n > 0 {
		p.keep("%s: %d more are pooled: nothing removed without --force", p.t.Name, n)
	}
	if len(p.trouble) > before {
		p.remove = nil
	}
}

// isPooled tells whether an object takes part: pooled is yes, or true.
func isPooled(o objects.Object) (bool, error) {
	if _, ok := o.Type.Field("pooled"); !ok {
		return false, nil
	}
	v, err := o.Value("pooled")
	return v == "yes" || v == true, err
}

// troubled tells whether something is not done.
func (p syncPlan) troubled() bool {
	return slices.ContainsFunc(p.parts, func(part *syncPart) bool { return len(part.trouble) > 0 })
}

// complain names everything that is not done.
func (p syncPlan) complain(env Env) {
	for _, part := range p.parts {
		warnStray(env, part.t, part.stray)
		for _, err := range part.trouble {
			fmt.Fprintf(env.Stderr, "%s: %v\n", p.program, oneLine{err})
		}
	}
}

// preview names every object that would be created or removed.
func (p syncPlan) preview(w io.Writer) {
	for _, m := range p.muts {
		what := "would create"
		if m.Verb == state.Delete {
			what = "would remove"
		}
		fmt.Fprintf(w, "%s %s %s\n", what, m.Object.Type.Name, m.Object.Key)
	}
}

// counts are what became of a type's objects.
type counts struct{ created, removed int }

// summarise prints one line for every type that has files: of what was done
// or, ahead, of what is to be.
func (p syncPlan) summarise(w io.Writer, change state.Change, ahead bool) {
	done := make(map[*objects.Type]counts)
	for i, m := range p.muts {
		if !ahead && (i >= len(change.Objects) || !change.Objects[i].Changed) {
			continue
		}
		n := done[m.Object.Type]
		if m.Verb == state.Create {
			n.created++
		} else {
			n.removed++
		}
		done[m.Object.Type] = n
	}
	format := "%s: %d created, %d removed, %d kept\n"
	if ahead {
		format = "%s: %d to create, %d to remove, %d to keep\n"
	}
	for _, part := range p.parts {
		if n := done[part.t]; part.present {
			fmt.Fprintf(w, format, part.t.Name, n.created, n.removed, part.live-n.removed)
		}
	}
}
