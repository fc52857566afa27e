// Package state reads, changes and watches objects in etcd. It is the only
// room of the operator's side that talks to the store: reads return errors and
// never an empty answer in their place; changes patch only the fields named,
// by compare-and-swap, and carry their audit record in the same transaction.
package state

import (
	"context"
	"errors"
	"time"

	"github.com/sluice-lb/sluice/pkg/objects"
)

// Config says where the store is and how long to wait for it.
type Config struct {
	// Endpoints are etcd client URLs; at least one.
	Endpoints []string
	// Namespace is "/conftool" unless set.
	Namespace string
	// APIVersion is "v1" unless set.
	APIVersion string
	// Timeout bounds every single request; 5 s unless set.
	Timeout time.Duration
}

// Store is a connection to etcd. It is safe for concurrent use.
type Store struct{}

// Open returns a Store. It does not wait for the server: the first request
// tells whether there is one.
func Open(cfg Config) (*Store, error) { return nil, errors.New("unwritten") }

// Close ends the connection.
func (s *Store) Close() error { return nil }

// Listing is a consistent view of all objects that a selector matches.
type Listing struct {
	// Revision is the store's revision the listing is of.
	Revision int64
	// Objects are sorted by key. Their Raw may still be malformed.
	Objects []objects.Object
	// Stray are keys below the type's path that are no key of that type.
	Stray []string
}

// List returns the objects of the type that the selector matches, in one
// request per literal prefix of the selector.
func (s *Store) List(ctx context.Context, t *objects.Type, sel *objects.Selector) (Listing, error) {
	return Listing{}, errors.New("unwritten")
}

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
	// somebody else; changes to other fields do not disturb it.
	Object objects.Object
	Set    []objects.Setting
}

// Audit says who changes something and why. It is stored with the change.
type Audit struct {
	User    string
	Host    string
	Command []string
	Reason  string
}

// Change is what an Update did.
type Change struct {
	// ID names the change in the history; empty when nothing changed.
	ID string
	// Revision is the store's revision from which on the wanted state holds:
	// the change's own, or, when nothing had to be changed, the latest
	// modification revision among the objects.
	Revision int64
	// Objects are the outcomes, in the order of the mutations.
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

// Update carries out the mutations: all of them in one transaction as far as
// the server's limit allows. The Change is meaningful even beside an error.
func (s *Store) Update(ctx context.Context, audit Audit, muts []Mutation) (Change, error) {
	return Change{}, errors.New("unwritten")
}
