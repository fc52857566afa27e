package state

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sluice-lb/sluice/pkg/objects"
)

// draft is one transaction in the making: the mutations worked out against the
// objects as last seen.
type draft struct {
	store    *Store
	rec      Recorded
	auditKey string
	muts     []Mutation
	// seen are the objects the outcomes were worked out from; their Revision
	// is what the transaction compares with, 0 meaning absent.
	seen     []objects.Object
	outcomes []Outcome
}

func (s *Store) draft(rec Recorded, muts []Mutation) (*draft, error) {
	d := &draft{store: s, rec: rec, muts: muts, auditKey: s.own("changes") + rec.key()}
	d.seen = make([]objects.Object, len(muts))
	d.outcomes = make([]Outcome, len(muts))
	for i, m := range muts {
		d.seen[i] = m.Object
		if m.Verb == Create {
			d.seen[i].Revision, d.seen[i].Raw = 0, nil
		}
		if err := d.work(i); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// work computes the outcome of mutation i from the object as last seen.
func (d *draft) work(i int) error {
	m, seen := d.muts[i], d.seen[i]
	exists := seen.Revision > 0
	out := Outcome{Object: seen}
	var err error
	switch m.Verb {
	case Patch:
		if !exists {
			return fmt.Errorf("%s: %w", seen.Key, ErrNotFound)
		}
		out.Object.Raw, out.Diffs, err = seen.Patch(m.Set)
		out.Changed = len(out.Diffs) > 0
	case Create:
		if !exists {
			out.Object.Raw, err = seen.Type.Defaults(m.Set)
			out.Changed = true
		}
	case Replace:
		out.Object.Raw, out.Changed = m.Raw, !exists || !bytes.Equal(seen.Raw, m.Raw)
		if exists && out.Changed {
			out.Diffs, _ = objects.Compare(seen.Raw, m.Raw) // none where either is no JSON object
		}
	case Delete:
		out.Object.Raw, out.Changed = nil, exists
	}
	if err != nil {
		return fmt.Errorf("%s: %w", seen.Key, err)
	}
	d.outcomes[i] = out
	return nil
}

func (d *draft) key(i int) string { return d.store.key(d.seen[i]) }

// changes tells whether the transaction would write anything.
func (d *draft) changes() bool {
	for _, o := range d.outcomes {
		if o.Changed {
			return true
		}
	}
	return false
}

func (d *draft) compares() []clientv3.Cmp {
	cmps := make([]clientv3.Cmp, 0, len(d.seen)+1)
	for i, o := range d.seen {
		cmps = append(cmps, clientv3.Compare(clientv3.ModRevision(d.key(i)), "=", o.Revision))
		cmps = append(cmps, d.memoryCompares(i)...)
	}
	if d.changes() {
		cmps = append(cmps, clientv3.Compare(clientv3.CreateRevision(d.auditKey), "=", 0))
	}
	return cmps
}

func (d *draft) writes() []clientv3.Op {
	if !d.changes() {
		return nil
	}
	ops := make([]clientv3.Op, 0, 2*len(d.outcomes)+1)
	rec := d.rec
	for i, o := range d.outcomes {
		switch {
		case !o.Changed:
			continue
		case o.Object.Raw == nil:
			ops = append(ops, clientv3.OpDelete(d.key(i)))
		default:
			ops = append(ops, clientv3.OpPut(d.key(i), string(o.Object.Raw)))
		}
		ops = append(ops, d.memoryWrites(i)...)
		rec.Objects = append(rec.Objects, d.recorded(i))
	}
	return append(ops, clientv3.OpPut(d.auditKey, rec.encode()))
}

// recorded is what the audit record says of object i.
func (d *draft) recorded(i int) RecordedObject {
	before, after := d.seen[i].Raw, d.outcomes[i].Object.Raw
	r := RecordedObject{Key: d.key(i), Before: rawJSON(before), After: rawJSON(after), Recalled: d.muts[i].recalled > 0}
	if before != nil && r.Before == nil {
		r.Garbage = before
	}
	return r
}

// reads are what a refused transaction answers with: every object, then the
// audit record, which is there only if the transaction had gone through
// already.
func (d *draft) reads() []clientv3.Op {
	ops := make([]clientv3.Op, len(d.seen), len(d.seen)+1)
	for i := range d.seen {
		ops[i] = clientv3.OpGet(d.key(i))
	}
	if d.changes() {
		ops = append(ops, clientv3.OpGet(d.auditKey, clientv3.WithKeysOnly()))
	}
	return ops
}

// settle fills in the revisions after success and returns the revision from
// which on everything the draft wanted holds.
func (d *draft) settle(revision int64) (since int64) {
	for i := range d.outcomes {
		o := &d.outcomes[i]
		if o.Changed {
			o.Object.Revision = revision
		}
		since = max(since, o.Object.Revision)
	}
	return since
}

// rebase takes over the objects a refused transaction read, unless what others
// did to them is in our way.
func (d *draft) rebase(found []*etcdserverpb.ResponseOp) error {
	moved := false
	for i := range d.seen {
		now := d.seen[i]
		now.Revision, now.Raw = 0, nil
		if kvs := found[i].GetResponseRange().Kvs; len(kvs) > 0 {
			now.Revision, now.Raw = kvs[0].ModRevision, kvs[0].Value
		}
		if now.Revision == d.seen[i].Revision {
			continue
		}
		moved = true
		if err := conflict(d.muts[i], now); err != nil {
			return fmt.Errorf("%s: %w", now.Key, err)
		}
		d.seen[i] = now
		if err := d.work(i); err != nil {
			return err
		}
	}
	if !moved { // then it was not the objects that the transaction tripped over
		return fmt.Errorf("remembered weight of %s: %w", subject(d.muts), ErrConflict)
	}
	return nil
}

// conflict tells whether what somebody else made of the object contradicts the
// mutation, which was decided upon from m.Object.
func conflict(m Mutation, now objects.Object) error {
	switch {
	case m.Verb == Create:
		return nil // somebody else made it: left as it is
	case m.Verb == Replace && now.Revision > 0 && bytes.Equal(now.Raw, m.Raw):
		return nil
	case m.Verb == Replace && m.Object.Revision == 0:
		return ErrConflict
	case now.Revision == 0 && m.Verb == Delete:
		return nil
	case now.Revision == 0:
		return ErrNotFound
	case m.Verb == Delete || m.Verb == Replace:
		return ErrConflict
	}
	for _, set := range m.Set {
		was, wasErr := m.Object.Value(set.Field)
		is, isErr := now.Value(set.Field)
		same := wasErr == nil && isErr == nil && reflect.DeepEqual(was, is)
		wanted := isErr == nil && reflect.DeepEqual(is, set.Value)
		if !same && !wanted {
			return fmt.Errorf("%s was %v, is now %v: %w", set.Field, was, is, ErrConflict)
		}
	}
	return nil
}

func rawJSON(raw []byte) json.RawMessage {
	if !json.Valid(raw) {
		return nil
	}
	return raw
}
