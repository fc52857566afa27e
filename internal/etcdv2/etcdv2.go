// Package etcdv2 reads what a store of etcd's v2 API holds, where conftool keeps
// its objects: from a live server, or from a dump of its answer. It writes
// nothing, and an answer that is not whole is an error, never less of a tree.
package etcdv2

import (
	"errors"
	"fmt"
	"strings"
)

// Tree is all keys below one prefix that have a value, sorted. Directories are
// nothing by themselves.
type Tree struct {
	Nodes []Node
	// Index is the store's index (X-Etcd-Index) at which it was read, Cluster the
	// store's name for itself and Server who answered; 0 and empty in a dump.
	Index   uint64
	Cluster string
	Server  string
}

// Node is one key.
type Node struct {
	// Key begins with a slash.
	Key string
	// Value is what is stored, if HasValue: an event about a deleted key, and a
	// listing of keys alone, have none.
	Value    string
	HasValue bool
	// Expires is set where the store would take the key away by itself.
	Expires bool
}

// Error is what the server itself said.
type Error struct {
	// Code is etcd's errorCode: 100 key not found, 110 unauthorized.
	Code int
	// Message and Cause are its words, Status the HTTP status it came with; 0 in
	// a dump.
	Message, Cause string
	Status         int
}

// ErrNotFound is wrapped by the Error of a prefix that is not there.
var ErrNotFound = errors.New("key not found")

// Error reads "error 100: Key not found (/conftool)".
func (e *Error) Error() string {
	text := fmt.Sprintf("error %d: %s", e.Code, oneLine(e.Message))
	if e.Cause != "" {
		text += " (" + oneLine(e.Cause) + ")"
	}
	return text
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// keyNotFound is etcd's code of what is not there.
const keyNotFound = 100

// Unwrap returns ErrNotFound where that is what it means.
func (e *Error) Unwrap() error {
	if e.Code == keyNotFound {
		return ErrNotFound
	}
	return nil
}
