package state

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Audit says who changes something and why. It is stored with the change, in
// the same transaction.
type Audit struct {
	User    string   `json:"user"`
	Host    string   `json:"host"`
	Command []string `json:"command"`
	Reason  string   `json:"reason,omitempty"`
	// Undoes is the ID of the change that this one takes back.
	Undoes string `json:"undoes,omitempty"`
}

// Recorded is the audit record of one transaction, stored at
// NAMESPACE/sluice/changes/ID/PART.
type Recorded struct {
	// ID names the change. A change too large for one transaction has several
	// records under one ID, Part being 0, 1, …
	ID   string `json:"id"`
	Part int    `json:"part"`
	// Of is how many parts the change was to have; 0 where it was one. A part
	// in which there was nothing to change has no record.
	Of   int       `json:"of,omitempty"`
	Time time.Time `json:"time"`
	Audit
	Objects []RecordedObject `json:"objects,omitempty"`
	// Void marks a record that keeps a transaction whose answer was lost from
	// ever being carried out: nothing was changed.
	Void bool `json:"void,omitempty"`
	// Revision is the store's revision the change was made at. It is not
	// stored but is the record's own.
	Revision int64 `json:"revision,omitempty"`
	// Malformed is what is wrong with a record that cannot be read; ID is then
	// what its key says, and the rest is empty.
	Malformed string `json:"malformed,omitempty"`
}

// RecordedObject is one changed object: its full key and its value before and
// after. Before is absent for a created object, After for a deleted one.
type RecordedObject struct {
	Key    string          `json:"key"`
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
	// Garbage is the value before if it was not even JSON.
	Garbage []byte `json:"garbage,omitempty"`
	// Recalled says that the change gave back a remembered weight.
	Recalled bool `json:"recalled,omitempty"`
}

// key is what follows the prefix of all changes.
func (r Recorded) key() string { return fmt.Sprintf("%s/%04d", r.ID, r.Part) }

func (r Recorded) encode() string {
	b, err := json.Marshal(r)
	if err != nil {
		// Only an invalid RawMessage could do this, and rawJSON lets none in.
		panic("state: encode audit record: " + err.Error())
	}
	return string(b)
}

// decodeRecord reads a record; it does not fail, but says what is malformed.
func decodeRecord(e Entry) Recorded {
	var r Recorded
	err := json.Unmarshal(e.Value, &r)
	switch {
	case err != nil:
	case r.key() != e.Key:
		err = fmt.Errorf("it calls itself %s", r.key())
	case slices.ContainsFunc(r.Objects, func(o RecordedObject) bool { return o.Key == "" }):
		err = errors.New("an object has no key")
	}
	if err != nil {
		id, _, _ := strings.Cut(e.Key, "/")
		return Recorded{ID: id, Revision: e.Revision, Malformed: fmt.Sprintf("record %s: %v", e.Key, err)}
	}
	r.Revision = e.Revision
	return r
}

// newID returns a name for a change: its time, so that names sort, and enough
// chance that two at once differ.
func newID(now time.Time) string {
	var salt [4]byte
	_, _ = rand.Read(salt[:]) // never fails
	return idTime(now) + "-" + hex.EncodeToString(salt[:])
}

// idTime is what the ID of a change made at that time begins with.
func idTime(t time.Time) string { return t.UTC().Format("20060102T150405.000Z") }
