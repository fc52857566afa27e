package source

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/sluice-lb/sluice/internal/lb"
	"github.com/sluice-lb/sluice/internal/poolfile"
)

// Bounds and times of the sources that are read as a whole, PyBal's pace.
const (
	pollEvery = time.Second
	// maxText bounds a pool file: 10,000 servers make about 1 MiB.
	maxText = 8 << 20
)

// saying is what a file or a web page last said.
type saying struct {
	data  []byte   // nil before the first that could be used
	again lb.Heard // what to say while it says the same
}

// declare takes a whole pool file and reports whether it could be used. One
// that cannot be understood, or that names nobody, is trouble; so is one that
// is cut off, whatever stands before the cut.
func (f *follower) declare(data []byte, form poolfile.Form) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.said.data != nil && bytes.Equal(f.said.data, data) {
		f.say(f.said.again)
		return true
	}
	entries, problems := poolfile.Parse(data, form)
	h := lb.Heard{Service: f.svc.Name, Err: describe(problems)}
	cut := slices.ContainsFunc(problems, func(p poolfile.Problem) bool { return errors.Is(p, poolfile.ErrTruncated) })
	if cut || len(entries) == 0 {
		if len(problems) == 0 {
			h.Err = f.empty()
		}
		f.say(h)
		return false
	}
	pool, changed := f.successor(f.asTheyWere(entries, problems))
	h.Revision = pool.Revision
	f.said = saying{data: bytes.Clone(data), again: h}
	if changed {
		h.Pool = pool
	}
	f.say(h)
	return true
}

// unchanged takes the word of the source that it still says the same.
func (f *follower) unchanged() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.said.data != nil {
		f.say(f.said.again)
	}
}

// fail takes trouble with the source.
func (f *follower) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.say(lb.Heard{Service: f.svc.Name, Err: strings.Join(strings.Fields(err.Error()), " ")})
}

// asTheyWere adds the servers whose entries could not be used, as they last
// were.
func (f *follower) asTheyWere(entries []poolfile.Entry, problems []poolfile.Problem) []poolfile.Entry {
	last := f.last()
	for _, p := range problems {
		named := slices.ContainsFunc(entries, func(e poolfile.Entry) bool { return e.Host == p.Host })
		if b, ok := last.Backend(p.Host); ok && p.Skipped && !named {
			entries = append(entries, poolfile.Entry{Host: b.Host, Weight: b.Weight, Enabled: b.Enabled})
		}
	}
	slices.SortFunc(entries, func(a, b poolfile.Entry) int { return strings.Compare(a.Host, b.Host) })
	return entries
}

// successor makes a pool of the entries. Its revision is local: no store's, but
// a count of its own that grows with every accepted change, here and across
// restarts, for it is the time of the change in microseconds or one more than
// the last, whichever is more. (Nanoseconds would not survive JavaScript.) A
// pool that says what the last one said keeps its revision.
func (f *follower) successor(entries []poolfile.Entry) (pool *lb.Pool, changed bool) {
	last := f.last()
	revision := max(time.Now().UnixMicro(), last.Revision+1)
	pool = &lb.Pool{Service: f.svc.Name, Revision: revision, Backends: make([]lb.Backend, 0, len(entries))}
	changed = len(last.Backends) != len(entries)
	for _, e := range entries {
		b := lb.Backend{Host: e.Host, Weight: e.Weight, Enabled: e.Enabled, Revision: revision}
		if old, ok := last.Backend(e.Host); ok && old.Weight == b.Weight && old.Enabled == b.Enabled {
			b.Revision = old.Revision
		}
		changed = changed || b.Revision == revision
		pool.Backends = append(pool.Backends, b)
	}
	if !changed {
		pool.Revision = last.Revision
	}
	f.names.fill(pool.Backends)
	return pool, changed || f.pool == nil || f.memory.recalled
}

// describe puts problems on one line, the first few of many.
func describe(problems []poolfile.Problem) string {
	const most = 5
	var parts []string
	for i, p := range problems {
		if i == most {
			parts = append(parts, "and more")
			break
		}
		parts = append(parts, p.Error())
	}
	return strings.Join(parts, "; ")
}
