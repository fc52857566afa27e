package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// plan is what a change would do: one line per object, and one per pool it
// touches.
type plan struct {
	changes []string
	pools   []string
	guard   guardReport
}

// plan works out what the mutations would do, without doing it.
func (s *session) plan(ctx context.Context, muts []state.Mutation) (p plan, err error) {
	if muts, err = s.store.Recall(ctx, muts); err != nil {
		return p, err
	}
	for _, m := range muts {
		line, err := planned(m)
		if err != nil {
			return p, oneLine{err}
		}
		p.changes = append(p.changes, line)
	}
	if p.pools, err = s.poolLines(ctx, muts); err != nil {
		return p, err
	}
	if p.guard, err = s.preview(ctx, muts); err != nil {
		p.guard.silent = append(p.guard.silent, fmt.Sprintf("balancers: not known: %v", oneLine{err}))
	}
	return p, ctx.Err()
}

// dryRun prints the plan and ends as the command would: refused where the guard
// would refuse.
func (s *session) dryRun(ctx context.Context, env Env, muts []state.Mutation, force bool) error {
	p, err := s.plan(ctx, muts)
	if err != nil {
		return err
	}
	p.print(env.Stdout, len(muts))
	return s.refusal(p, force)
}

// refusal is the guard's, unless it is forced or turned off.
func (s *session) refusal(p plan, force bool) error {
	if force || !s.config.Guard {
		return nil
	}
	return p.guard.refusal()
}

// planned is the line of one mutation: "a/b/c/host: pooled yes => no".
func planned(m state.Mutation) (string, error) {
	if m.Verb == state.Delete {
		return m.Object.Key.String() + ": deleted", nil
	}
	raw, err := m.After()
	if m.Object.Raw == nil && m.Verb != state.Patch {
		return m.Object.Key.String() + ": created " + stored(raw), err
	}
	var diffs []objects.Diff
	if m.Verb == state.Replace {
		diffs, err = objects.Compare(m.Object.Raw, raw)
	} else if err == nil {
		_, diffs, err = m.Object.Patch(m.Set)
	}
	if err != nil {
		return "", err
	}
	var parts []string
	for _, d := range diffs {
		parts = append(parts, fmt.Sprintf("%s %s => %s", d.Field, objects.Text(d.Old), objects.Text(d.New)))
	}
	if len(parts) == 0 {
		parts = []string{"unchanged"}
	}
	return m.Object.Key.String() + ": " + strings.Join(parts, ", "), nil
}

// print writes the plan, of each kind of line no more than most.
func (p plan) print(w io.Writer, most int) {
	for _, lines := range [][]string{p.changes, p.pools, p.guard.lines, p.guard.refused, p.guard.silent} {
		shown := lines[:min(len(lines), max(most, 1))]
		for _, line := range shown {
			fmt.Fprintln(w, line)
		}
		if n := len(lines) - len(shown); n > 0 {
			fmt.Fprintf(w, "… and %d more\n", n)
		}
	}
}

// tally counts a pool's members, and those of them that are pooled. Inactive
// objects are members of nothing.
type tally struct{ pooled, members int }

func (t *tally) add(o objects.Object) {
	value, err := objects.ParseNode(o.Raw)
	if err != nil || value.Pooled == "inactive" {
		return // a balancer would not take it either
	}
	t.members++
	if value.Pooled == "yes" {
		t.pooled++
	}
}

// poolLines says of each pool the mutations touch how many of its members are
// pooled, now and after, by what the store says. Only nodes have pools.
func (s *session) poolLines(ctx context.Context, muts []state.Mutation) ([]string, error) {
	if len(muts) == 0 || muts[0].Object.Type.Name != "node" {
		return nil, nil
	}
	t, by := muts[0].Object.Type, make(map[objects.Key]state.Mutation)
	touched := make(map[string]bool)
	for _, m := range muts {
		by[m.Object.Key] = m
		touched[m.Object.Key.Tags] = true
	}
	sel, err := t.SelectExact(sharedTags(t, muts))
	if err != nil {
		return nil, err
	}
	found, err := s.store.List(ctx, t, sel)
	if err != nil {
		return nil, err
	}
	now, after := make(map[string]tally), make(map[string]tally)
	for _, o := range found.Objects {
		pool := o.Key.Tags
		if !touched[pool] {
			continue
		}
		was, will := now[pool], after[pool]
		was.add(o)
		m, ok := by[o.Key]
		m.Object = o
		if !ok {
			will.add(o)
		} else if raw, err := m.After(); err == nil && raw != nil {
			o.Raw = raw
			will.add(o)
		}
		now[pool], after[pool] = was, will
	}
	var lines []string
	for pool := range touched {
		lines = append(lines, poolLine(pool, now[pool], after[pool]))
	}
	slices.Sort(lines)
	return lines, nil
}

func poolLine(pool string, now, after tally) string {
	line := fmt.Sprintf("pool %s: %d of %d pooled now, %d", pool, now.pooled, now.members, after.pooled)
	if after.members != now.members {
		line += fmt.Sprintf(" of %d", after.members)
	}
	return line + " after"
}

// sharedTags returns the tags that all mutations' objects have in common, from
// the first on: what has to be read to see all their pools, in one request.
func sharedTags(t *objects.Type, muts []state.Mutation) map[string]string {
	shared := make(map[string]string)
	for _, tag := range t.Tags {
		value, ok := t.Tag(muts[0].Object.Key, tag)
		for _, m := range muts {
			v, _ := t.Tag(m.Object.Key, tag)
			ok = ok && v == value
		}
		if !ok {
			return shared
		}
		shared[tag] = value
	}
	return shared
}
