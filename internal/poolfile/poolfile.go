// Package poolfile reads and writes the files a pool travels in: PyBal's pool
// files in both forms, and dsh groups. It replaces files atomically or not at
// all.
package poolfile

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Entry is one server of a pool file.
type Entry struct {
	Host string
	// Weight is 0 to MaxWeight.
	Weight int
	// Enabled is PyBal's word for pooled=yes.
	Enabled bool
}

// What a server has that a JSON file says nothing of (PyBal's defaults).
const (
	DefaultWeight  = 10
	DefaultEnabled = true
)

// MaxWeight is the largest weight the kernel's schedulers take.
const MaxWeight = 65535

// Form is one of PyBal's two notations of a pool.
type Form string

// The two forms.
const (
	// Dict is one Python dictionary per line; blank lines and comments stand
	// between.
	Dict Form = "dict"
	// JSON is one object, {"host": {"enabled": true, "weight": 10}, …}.
	JSON Form = "json"
)

// FormOf returns the form of a file or URL path as PyBal tells it: JSON where
// it ends in ".json".
func FormOf(name string) Form {
	if path.Ext(name) == ".json" {
		return JSON
	}
	return Dict
}

// Problem is something in a pool file that is not as it should be.
type Problem struct {
	// Line counts from 1.
	Line int
	// Host is the server it is about, where that can be told.
	Host string
	// Skipped is true where that server, or that line, is not among the
	// entries because of it.
	Skipped bool
	Err     error
}

// Error reads "line 3: server cp1: weight: …".
func (p Problem) Error() string {
	if p.Host == "" {
		return fmt.Sprintf("line %d: %v", p.Line, p.Err)
	}
	return fmt.Sprintf("line %d: server %s: %v", p.Line, p.Host, p.Err)
}

// Unwrap returns the cause.
func (p Problem) Unwrap() error { return p.Err }

// ErrTruncated is the cause of a problem that shows that the file is not all
// there, so that even what could be read of it is not the pool.
var ErrTruncated = errors.New("ends in the middle")

// Parse reads a pool file and returns the servers it lists, sorted by host, and
// everything that is wrong with it. As in PyBal a bad line or server is left
// out and the rest holds; a weight or enabled of a wrong type has its default;
// unknown keys mean nothing; of two entries for one host the later holds. Not a
// single entry beside a problem means that nothing could be read.
func Parse(data []byte, form Form) ([]Entry, []Problem) {
	var p parser
	if form == JSON {
		p.json(data)
	} else {
		p.dicts(data)
	}
	entries := make([]Entry, 0, len(p.entries))
	for _, e := range p.entries {
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Host, b.Host) })
	return entries, p.problems
}

// parser collects what a file says.
type parser struct {
	entries  map[string]Entry
	problems []Problem
}

func (p *parser) problem(line int, host string, skipped bool, format string, args ...any) {
	p.problems = append(p.problems, Problem{Line: line, Host: host, Skipped: skipped, Err: fmt.Errorf(format, args...)})
}

// add takes one server in, unless no balancer could have it.
func (p *parser) add(line int, e Entry) {
	if err := e.Check(); err != nil {
		p.problem(line, e.Host, true, "%w", err)
		return
	}
	if p.entries == nil {
		p.entries = map[string]Entry{}
	}
	p.entries[e.Host] = e
}

// Check tells what keeps an entry from being in a file.
func (e Entry) Check() error {
	if err := CheckHost(e.Host); err != nil {
		return err
	}
	if e.Weight < 0 || e.Weight > MaxWeight {
		return fmt.Errorf("weight %d is outside 0 to %d", e.Weight, MaxWeight)
	}
	return nil
}

// CheckHost tells what keeps a text from being a server's name: it must fit
// on a line, into a file name and into a URL.
func CheckHost(host string) error {
	odd := func(r rune) bool { return r == '/' || unicode.IsSpace(r) || !unicode.IsGraphic(r) }
	switch {
	case host == "":
		return errors.New("host is empty")
	case len(host) > 253:
		return fmt.Errorf("host %.20q… is too long", host)
	case !utf8.ValidString(host), strings.ContainsFunc(host, odd), host[0] == '#', strings.ContainsRune(host, utf8.RuneError):
		return fmt.Errorf("host %q is no name of a server", host)
	}
	return nil
}
