package state

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/sluice-lb/sluice/pkg/objects"
)

// Verb is what a Mutation does.
type Verb uint8

// The three kinds of change.
const (
	// Patch sets the named fields of an object that exists.
	Patch Verb = iota
	// Create stores an object with its type's defaults, overlaid by Set; an
	// object that exists is left as it is.
	Create
	// Delete removes an object; an object that is gone is no error.
	Delete
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

// maxObjects is how many objects fit one transaction: the server allows 128
// operations by default (--max-txn-ops), one of which is the audit record.
const maxObjects = 127

// Update carries out the mutations: all of them in one transaction as far as
// the server's limit allows, else in several under one change ID. The Change
// is meaningful even beside an error.
func (s *Store) Update(ctx context.Context, audit Audit, muts []Mutation) (Change, error) {
	id := newID(time.Now())
	var done Change
	for part := 0; len(muts) > 0; part++ {
		n := min(len(muts), maxObjects)
		outcomes, revision, err := s.transact(ctx, record{ID: id, Part: part, Time: time.Now().UTC(), Audit: audit}, muts[:n])
		if err != nil && part > 0 {
			err = fmt.Errorf("%w: %d objects changed, %d not: %w", ErrPartial, len(done.Objects), len(muts), err)
		}
		if err != nil {
			return done, err
		}
		done.Objects = append(done.Objects, outcomes...)
		done.Revision = max(done.Revision, revision)
		muts = muts[n:]
	}
	for _, o := range done.Objects {
		if o.Changed {
			done.ID = id
		}
	}
	return done, nil
}

// transact carries out one transaction's worth of mutations, taking up what
// others changed meanwhile until it goes through or one of ours is in the way.
func (s *Store) transact(ctx context.Context, rec record, muts []Mutation) ([]Outcome, int64, error) {
	draft, err := s.draft(rec, muts)
	if err != nil {
		return nil, 0, err
	}
	for {
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
	}
}

// answer is what became of one transaction.
type answer struct {
	applied  bool
	revision int64
	// found are the objects as they are, where it was not applied.
	found []*etcdserverpb.ResponseOp
}

// commit sends the transaction once. When the answer is lost on the way, the
// audit record in the store tells whether it had been carried out: a second
// attempt can never apply it twice.
func (s *Store) commit(ctx context.Context, d *draft) (answer, error) {
	one, cancel := s.request(ctx)
	defer cancel()
	resp, err := s.client.Txn(one).If(d.compares()...).Then(d.writes()...).Else(d.reads()...).Commit()
	if err == nil {
		return answer{applied: resp.Succeeded, revision: resp.Header.Revision, found: resp.Responses}, nil
	}
	if revision, ok := s.landed(ctx, d); ok {
		return answer{applied: true, revision: revision}, nil
	}
	return answer{}, s.permit(ctx, err, d.needs()...)
}

// landed looks for the draft's audit record after a transaction whose answer
// was lost, and returns the revision it was written at.
func (s *Store) landed(ctx context.Context, d *draft) (revision int64, ok bool) {
	if !d.changes() {
		return 0, false
	}
	one, cancel := s.request(context.WithoutCancel(ctx))
	defer cancel()
	resp, err := s.client.Get(one, d.auditKey)
	if err != nil || len(resp.Kvs) == 0 {
		return 0, false
	}
	return resp.Kvs[0].CreateRevision, true
}

func subject(muts []Mutation) string {
	first := muts[0].Object.Key.String()
	if len(muts) == 1 {
		return first
	}
	return fmt.Sprintf("%s and %d more", first, len(muts)-1)
}
