package state

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
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

// record is the audit record of one transaction, stored at
// NAMESPACE/sluice/changes/ID/PART.
type record struct {
	ID   string    `json:"id"`
	Part int       `json:"part"`
	Time time.Time `json:"time"`
	Audit
	Objects []recordObject `json:"objects,omitempty"`
	// Void marks a record that keeps a transaction whose answer was lost from
	// ever being carried out: nothing was changed.
	Void bool `json:"void,omitempty"`
}

// recordObject is one changed object: its full key and its value before and
// after. Before is absent for a created object, After for a deleted one.
type recordObject struct {
	Key    string          `json:"key"`
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
	// Garbage is the value before if it was not even JSON.
	Garbage []byte `json:"garbage,omitempty"`
	// Recalled says that the change gave back a remembered weight.
	Recalled bool `json:"recalled,omitempty"`
}

func (r record) key() string { return fmt.Sprintf("%s/%04d", r.ID, r.Part) }

func (r record) encode() string {
	b, err := json.Marshal(r)
	if err != nil {
		// Only an invalid RawMessage could do this, and rawJSON lets none in.
		panic("state: encode audit record: " + err.Error())
	}
	return string(b)
}

// newID returns a name for a change: its time, so that names sort, and enough
// chance that two at once differ.
func newID(now time.Time) string {
	var salt [4]byte
	_, _ = rand.Read(salt[:]) // never fails
	return now.UTC().Format("20060102T150405.000Z") + "-" + hex.EncodeToString(salt[:])
}
