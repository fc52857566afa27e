package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sluice-lb/sluice/pkg/objects"
)

// Verb is what a Mutation does.
type Verb uint8

// The kinds of change.
const (
	// Patch sets the named fields of an object that exists.
	Patch Verb = iota
	// Create stores an object with its type's defaults, overlaid by Set; an
	// object that exists is left as it is.
	Create
	// Delete removes an object; an object that is gone is no error.
	Delete
	// Replace stores Raw, byte for byte, in place of all the object was when the
	// change was decided upon; it was not there if its Revision is 0. What is
	// anything else by now is left, and the change refused.
	Replace
)

// Mutation is one wanted change to one object.
type Mutation struct {
	Verb Verb
	// Object is the object as it was when the change was decided upon. A
	// Patch is refused when a field it names has since been changed by
	// somebody else; changes to other fields do not disturb it. A Delete is
	// refused when anything has changed.
	Object objects.Object
	Set    []objects.Setting
	// Raw is what a Replace stores.
	Raw []byte
	// Memory is what happens to the weight the object had before a drain.
	Memory Memory

	recalled  int64 // the memory's revision, where Set gives back its weight
	untouched bool  // there is no memory that could end
}

// After returns what the object is after the mutation, if it is still as it was
// when that was decided upon; nil is a deleted one.
func (m Mutation) After() ([]byte, error) {
	switch m.Verb {
	case Replace:
		return m.Raw, nil
	case Delete:
		return nil, nil
	case Create:
		if m.Object.Raw != nil {
			return m.Object.Raw, nil
		}
		return m.Object.Type.Defaults(m.Set)
	}
	raw, _, err := m.Object.Patch(m.Set)
	return raw, err
}

// Change is what an Update did.
type Change struct {
	// ID names the change in the history; empty when nothing changed.
	ID string
	// Revision is the store's revision from which on the wanted state holds:
	// the change's own, or, when nothing had to be changed, the latest
	// modification revision among the objects.
	Revision int64
	// Objects are the outcomes, in the order of the mutations. After an
	// error there are only as many as were carried out.
	Objects []Outcome
}

// Outcome is what became of one Mutation.
type Outcome struct {
	// Object is the object after the change; its Raw is nil if it was deleted.
	Object objects.Object
	// Diffs are the fields that changed, in the order they were named.
	Diffs []objects.Diff
	// Changed is false when the object already was as wanted.
	Changed bool
}

// ErrConflict is wrapped by the error of an Update whose own fields were
// changed by somebody else meanwhile.
var ErrConflict = errors.New("changed by somebody else meanwhile")

// ErrNotFound is wrapped by the error of an Update of an object that is gone.
var ErrNotFound = errors.New("does not exist")

// ErrPartial is wrapped by the error of an Update that was too large for one
// transaction and was interrupted between two; the Change says what was done.
var ErrPartial = errors.New("partly done")

// ErrUnknown is wrapped by the error of an Update of which it cannot be said
// whether it was carried out. The audit record, if there is one, tells later.
var ErrUnknown = errors.New("it may have been carried out all the same")

// maxOps is how many operations beside the audit record fit one transaction:
// the server allows 128 by default (--max-txn-ops).
const maxOps = 127

// maxBytes is how large a transaction becomes by what is put into it: of the
// 1.5 MiB that the server takes by default (--max-request-bytes).
const maxBytes = 1 << 20

// chunk returns how many of the mutations fit one transaction. One that is too
// large by itself is for the server to refuse.
func chunk(muts []Mutation) int {
	ops, size := 0, 0
	for i, m := range muts {
		ops++
		if m.touchesMemory() || m.recalled > 0 {
			ops++
		}
		size += m.size()
		if ops > maxOps || size > maxBytes {
			return max(i, 1)
		}
	}
	return len(muts)
}

// size is about how much a mutation adds to its transaction: the object itself,
// and what it was and is in the audit record; the key stands in each of these and
// in what is compared and read.
func (m Mutation) size() int {
	const frame = 200
	return 3*max(len(m.Object.Raw), len(m.Raw)) + 5*len(m.Object.Key.String()) + frame
}

// parts returns in how many transactions the mutations are carried out, 0 if in
// one.
func parts(muts []Mutation) (n int) {
	for ; len(muts) > 0; n++ {
		muts = muts[chunk(muts):]
	}
	if n == 1 {
		return 0
	}
	return n
}

// Update carries out the mutations: all of them in one transaction as far as
// the server's limit allows, else in several under one change ID. The Change
// is meaningful even beside an error.
func (s *Store) Update(ctx context.Context, audit Audit, muts []Mutation) (Change, error) {
	return s.UpdateWithProgress(ctx, audit, muts, func(int) {})
}

// UpdateWithProgress is an Update that tells after each transaction how many
// of the mutations have been carried out.
func (s *Store) UpdateWithProgress(ctx context.Context, audit Audit, muts []Mutation, progress func(done int)) (Change, error) {
	var done Change
	muts, err := s.Recall(ctx, muts)
	if err != nil {
		return done, err
	}
	if muts, err = s.spare(ctx, muts); err != nil {
		return done, err
	}
	id, of := newID(time.Now()), parts(muts)
	for part := 0; len(muts) > 0; part++ {
		n := chunk(muts)
		outcomes, revision, err := s.transact(ctx, Recorded{ID: id, Part: part, Of: of, Time: time.Now().UTC(), Audit: audit}, muts[:n])
		if err != nil && part > 0 {
			err = fmt.Errorf("%w: %d objects changed, %d not: %w", ErrPartial, len(done.Objects), len(muts), err)
		}
		if err != nil {
			return done, err
		}
		done.Objects = append(done.Objects, outcomes...)
		done.Revision = max(done.Revision, revision)
		if slices.ContainsFunc(outcomes, func(o Outcome) bool { return o.Changed }) {
			done.ID = id
		}
		progress(len(done.Objects))
		muts = muts[n:]
	}
	return done, nil
}

// transact carries out one transaction's worth of mutations, taking up what
// others changed meanwhile until it goes through or one of ours is in the way.
func (s *Store) transact(ctx context.Context, rec Recorded, muts []Mutation) ([]Outcome, int64, error) {
	draft, err := s.draft(rec, muts)
	if err != nil {
		return nil, 0, err
	}
	for crowd := crowdPause; ; crowd = min(2*crowd, maxCrowdPause) {
		a, err := s.commit(ctx, draft)
		switch {
		case err != nil:
			return nil, 0, fmt.Errorf("write %s: %w", subject(muts), err)
		case a.applied:
			return draft.outcomes, draft.settle(a.revision), nil
		}
		if err := draft.rebase(a.found); err != nil {
			return nil, 0, err
		}
		// Not at once: of many writers on one object only one gets through,
		// and the others' attempts are in its way.
		select {
		case <-ctx.Done():
			return nil, 0, fmt.Errorf("write %s: %w", subject(muts), ctx.Err())
		case <-time.After(rand.N(crowd)):
		}
	}
}

// Bounds of the random pause before a transaction is tried again that somebody
// else's change got in the way of.
const (
	crowdPause    = 2 * time.Millisecond
	maxCrowdPause = 128 * time.Millisecond
)

// answer is what became of one transaction.
type answer struct {
	applied  bool
	revision int64
	// found are the objects as they are, where it was not applied.
	found []*etcdserverpb.ResponseOp
}

// commit carries out the draft's transaction once, however often it has to be
// sent: it insists that its own audit record is not there yet. When no answer
// can be had at all, it makes sure that the transaction, which may still be on
// its way, is not carried out behind our back.
func (s *Store) commit(ctx context.Context, d *draft) (answer, error) {
	resp, err := s.txn(ctx, d.compares(), d.writes(), d.reads())
	switch {
	case err == nil && resp.Succeeded:
		return answer{applied: true, revision: resp.Header.Revision}, nil
	case err == nil:
		revision, landed := d.landed(resp.Responses)
		return answer{applied: landed, revision: revision, found: resp.Responses}, nil
	case decided(err) || !d.changes():
		return answer{}, s.permit(ctx, err, d.needs()...)
	}
	return s.void(ctx, d, err)
}

// landed tells from what a refused transaction read whether it had gone through
// before, when its answer was lost, and at which revision.
func (d *draft) landed(found []*etcdserverpb.ResponseOp) (revision int64, ok bool) {
	if !d.changes() {
		return 0, false
	}
	kvs := found[len(d.seen)].GetResponseRange().Kvs
	if len(kvs) == 0 {
		return 0, false
	}
	return kvs[0].CreateRevision, true
}

// void takes the place of the draft's audit record, so that the transaction can
// no longer go through; or learns that it has. lost is why its answer is
// missing. It does not heed the end of ctx: an interrupted command has to know
// what it has done.
func (s *Store) void(ctx context.Context, d *draft, lost error) (answer, error) {
	rec := d.rec
	rec.Void = true
	resp, err := s.txn(context.WithoutCancel(ctx),
		[]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(d.auditKey), "=", 0)},
		[]clientv3.Op{clientv3.OpPut(d.auditKey, rec.encode())},
		[]clientv3.Op{clientv3.OpGet(d.auditKey)})
	lost = s.explain(ctx, lost)
	switch {
	case err != nil:
		return answer{}, fmt.Errorf("%w: %w (change %s)", lost, ErrUnknown, d.rec.ID)
	case resp.Succeeded:
		return answer{}, lost
	}
	kvs := resp.Responses[0].GetResponseRange().Kvs
	if len(kvs) == 0 {
		return answer{}, fmt.Errorf("%w: %w (change %s)", lost, ErrUnknown, d.rec.ID)
	}
	var found Recorded
	if err := json.Unmarshal(kvs[0].Value, &found); err != nil || found.Void {
		return answer{}, lost // our own, whose answer was lost in turn
	}
	return answer{applied: true, revision: kvs[0].CreateRevision}, nil
}

func subject(muts []Mutation) string {
	first := muts[0].Object.Key.String()
	if len(muts) == 1 {
		return first
	}
	return fmt.Sprintf("%s and %d more", first, len(muts)-1)
}
