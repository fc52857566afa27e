package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sluice-lb/sluice/pkg/objects"
)

// Undo is a change about to be taken back.
type Undo struct {
	// ID is the change's; Changed are its objects as it left them.
	ID      string
	Changed []Altered
	parts   []Recorded
	muts    []Mutation
}

// Objects returns the objects that will be changed, as they are now.
func (u Undo) Objects() []objects.Object {
	var all []objects.Object
	for _, m := range u.muts {
		all = append(all, m.Object)
	}
	return all
}

// Mutations returns what will be done.
func (u Undo) Mutations() []Mutation { return slices.Clone(u.muts) }

// ConflictError says which objects stand in the way of an undo. It wraps
// ErrConflict.
type ConflictError struct {
	ID      string
	Reasons []string // one per object
}

// Error names the first few objects.
func (e *ConflictError) Error() string {
	const most = 3
	reasons, more := e.Reasons, ""
	if n := len(reasons); n > most {
		reasons, more = reasons[:most], fmt.Sprintf("; and %d more", n-most)
	}
	return "undo " + e.ID + ": " + strings.Join(reasons, "; ") + more
}

func (e *ConflictError) Unwrap() error { return ErrConflict }

// PlanUndo works out what taking back a change means: the fields it altered get
// the values they had, what it created is deleted, what it deleted is created
// again. It refuses with a ConflictError where any of those fields is no longer
// what the change left, and says who changed it since.
func (s *Store) PlanUndo(ctx context.Context, types []*objects.Type, id string) (Undo, error) {
	u := Undo{ID: id}
	parts, err := s.ShowChange(ctx, id)
	if err != nil {
		return u, err
	}
	for _, r := range parts {
		if r.Malformed != "" {
			return u, fmt.Errorf("undo %s: malformed %s", id, r.Malformed)
		}
		if r.Void {
			continue
		}
		u.parts = append(u.parts, r)
		for _, o := range r.Objects {
			a := s.alteration(types, o)
			m, err := s.reverse(a, o)
			if err != nil {
				return u, fmt.Errorf("undo %s: %s: %w", id, a.Object.Key, err)
			}
			u.Changed, u.muts = append(u.Changed, a), append(u.muts, m)
		}
	}
	if len(u.muts) == 0 {
		return u, fmt.Errorf("undo %s: it changed nothing", id)
	}
	return u, s.refresh(ctx, &u)
}

// reverse returns the mutation that takes one object's change back.
func (s *Store) reverse(a Altered, o RecordedObject) (Mutation, error) {
	m := Mutation{Object: a.Object}
	switch {
	case a.Object.Type.Path == "":
		return m, errors.New("of a type that is not in the schema")
	case a.Before == nil && a.Object.Raw == nil:
		return m, errors.New("neither its value before nor after is known")
	case a.Before == nil:
		m.Verb = Delete
		return m, nil
	case o.Garbage != nil:
		m.Verb, m.Raw = Replace, o.Garbage
		return m, nil
	case a.Object.Raw == nil:
		return whole(m, o.Before)
	}
	for _, d := range a.Diffs {
		if _, known := a.Object.Type.Field(d.Field); !known {
			return whole(m, o.Before)
		}
		m.Set = append(m.Set, objects.Setting{Field: d.Field, Value: d.Old})
	}
	if o.Recalled && m.namesWeight() {
		m.Memory = Remember // it was drained before
	}
	return m, nil
}

// whole puts the object back as it was, in the form conftool stores, which the
// record has not. A patch could not: it knows only the type's own fields.
func whole(m Mutation, before json.RawMessage) (Mutation, error) {
	raw, err := objects.Encode(before)
	return Mutation{Verb: Replace, Object: m.Object, Raw: raw}, err
}

// refresh reads the objects as they are now and refuses where they are not what
// the change left.
func (s *Store) refresh(ctx context.Context, u *Undo) error {
	var ops []clientv3.Op
	for _, m := range u.muts {
		ops = append(ops, clientv3.OpGet(s.key(m.Object)))
	}
	i := 0
	var conflict ConflictError
	for chunk := range slices.Chunk(ops, maxOps) {
		resp, err := s.txn(ctx, nil, chunk, nil)
		if err != nil {
			return fmt.Errorf("undo %s: %w", u.ID, s.explain(ctx, err))
		}
		for _, r := range resp.Responses {
			m := &u.muts[i]
			m.Object.Revision, m.Object.Raw = 0, nil
			if kvs := r.GetResponseRange().Kvs; len(kvs) > 0 {
				m.Object.Revision, m.Object.Raw = kvs[0].ModRevision, kvs[0].Value
			}
			if reason := inTheWay(u.Changed[i], *m); reason != "" {
				conflict.Reasons = append(conflict.Reasons, fmt.Sprintf("%s: %s: %s", m.Object.Key, reason, s.since(ctx, *u, m.Object)))
			}
			i++
		}
	}
	if len(conflict.Reasons) > 0 {
		conflict.ID = u.ID
		return &conflict
	}
	return nil
}

// inTheWay says what about the object, as it is now, the change has left
// otherwise.
func inTheWay(left Altered, m Mutation) string {
	now := m.Object
	switch {
	case left.Object.Raw == nil && now.Raw != nil:
		return "was deleted, is there again"
	case left.Object.Raw == nil:
		return ""
	case now.Raw == nil:
		return "is gone"
	}
	since := compared(now, left.Object.Raw)
	if fieldsOf(now.Raw) == nil {
		return "is no longer JSON"
	}
	for _, d := range since.Diffs {
		ours := slices.ContainsFunc(left.Diffs, func(l objects.Diff) bool { return l.Field == d.Field })
		if ours || m.Verb != Patch {
			return fmt.Sprintf("%s was left as %s, is now %s", d.Field, plain(d.Old), plain(d.New))
		}
	}
	return ""
}

// plain shows a value in a sentence.
func plain(v any) string {
	if v == nil {
		return "unset"
	}
	return objects.Text(v)
}

// clockSkew is how much the clocks of those who change things may differ.
const clockSkew = time.Hour

// since says who last changed an object after a change.
func (s *Store) since(ctx context.Context, u Undo, now objects.Object) string {
	first := u.parts[0]
	var last Recorded
	err := s.records(ctx, idTime(first.Time.Add(-clockSkew)), "", func(r Recorded) bool {
		touches := slices.ContainsFunc(r.Objects, func(o RecordedObject) bool { return o.Key == s.key(now) })
		if touches && !r.Void && r.ID != u.ID && r.Revision > first.Revision && r.Revision > last.Revision {
			last = r
		}
		return true
	})
	switch {
	case err != nil:
		return "changed since, by whom could not be read"
	case last.ID == "" || now.Revision > last.Revision:
		return fmt.Sprintf("changed since by a program that records nothing (revision %d)", now.Revision)
	case last.Undoes == u.ID:
		return fmt.Sprintf("undone already by %s@%s in change %s", last.User, last.Host, last.ID)
	}
	return fmt.Sprintf("changed since by %s@%s in change %s", last.User, last.Host, last.ID)
}

// Undo takes back a change: all of it in one transaction as far as the server's
// limit allows. It is a recorded change itself, which says what it undoes, and
// it refuses as PlanUndo does where somebody got in between.
func (s *Store) Undo(ctx context.Context, audit Audit, u Undo) (Change, error) {
	audit.Undoes = u.ID
	change, err := s.Update(ctx, audit, u.muts)
	if errors.Is(err, ErrConflict) && change.ID == "" {
		again := Undo{ID: u.ID, Changed: u.Changed, parts: u.parts, muts: slices.Clone(u.muts)}
		if refused := s.refresh(ctx, &again); refused != nil {
			return change, refused
		}
	}
	if err != nil {
		return change, fmt.Errorf("undo %s: %w", u.ID, err)
	}
	return change, nil
}
