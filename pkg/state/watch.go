package state

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Snapshot is everything below one prefix at one revision: complete, never a
// delta. It is never changed after it was handed out.
type Snapshot struct {
	Revision int64
	// Entries are sorted by key.
	Entries []Entry
}

// Entry is one key below the prefix.
type Entry struct {
	// Key is what follows the prefix.
	Key   string
	Value []byte
	// Revision is the store's revision of the last write to this key.
	Revision int64
}

// Event is what a Watch has to say. Exactly one of three: there is something
// new (Snapshot), all is quiet and complete up to Revision (neither), or the
// store cannot be followed at present (Err). After an Err the last Snapshot
// remains the best there is; a fresh one follows on recovery.
type Event struct {
	Snapshot *Snapshot
	Revision int64
	Err      error
}

// silence is how long a watch may hear nothing before it gives the stream up.
const silence = 3 * beat

// Pauses between attempts to follow again.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
)

// Watch follows all keys below prefix and calls emit, from one goroutine, with
// everything there is to say. It survives outages, hangs, compaction and a
// replaced store, and returns only when ctx ends.
func (s *Store) Watch(ctx context.Context, prefix string, emit func(Event)) error {
	defer s.pulse.join(s.client)()
	pause := firstPause
	for {
		err := s.follow(ctx, prefix, func(e Event) {
			pause = firstPause
			emit(e)
		})
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errRelist) {
			continue
		}
		emit(Event{Err: err})
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

// errRelist means that the listing has to be taken again, at once: the history
// behind it was compacted or the store is another one.
var errRelist = errors.New("listing is outdated")

// errSilent means that the server keeps its connection and says nothing.
var errSilent = fmt.Errorf("no sign of life for %s", silence)

// follow takes one listing and follows it until something breaks.
func (s *Store) follow(ctx context.Context, prefix string, emit func(Event)) error {
	snap, err := s.Snapshot(ctx, prefix)
	if err != nil {
		return err
	}
	tell(snap, emit)
	return s.stream(ctx, prefix, snap.Revision, func(resp clientv3.WatchResponse) (err error) {
		snap, err = s.advance(ctx, prefix, snap, resp, emit)
		return err
	})
}

// stream follows all keys below prefix, from a revision that has been on, and
// hands every response to each until one of them breaks off or the server falls
// silent. The pulse must be joined.
func (s *Store) stream(ctx context.Context, prefix string, revision int64, each func(clientv3.WatchResponse) error, opts ...clientv3.OpOption) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	// Even setting up the stream waits for the server, so silence ends both.
	var silent atomic.Bool
	watchdog := time.AfterFunc(silence, func() {
		silent.Store(true)
		cancel()
	})
	defer watchdog.Stop()
	// From the listing's own revision on, not the next: a server gives no sign
	// of life to a watch that begins in the future.
	for resp := range s.client.Watch(ctx, prefix, append(opts, clientv3.WithPrefix(), clientv3.WithRev(revision))...) {
		if silent.Load() {
			break
		}
		watchdog.Reset(silence)
		if err := each(resp); err != nil {
			return err
		}
	}
	where := strings.Join(s.cfg.Endpoints, ",")
	if silent.Load() {
		return fmt.Errorf("watch %s: etcd %s: %w", prefix, where, cmp.Or(s.reach.down(), errSilent))
	}
	return fmt.Errorf("watch %s: etcd %s: stream ended", prefix, where)
}

// tell emits a snapshot of its own, which later changes do not touch.
func tell(snap Snapshot, emit func(Event)) {
	emit(Event{Snapshot: &snap, Revision: snap.Revision})
}

// advance brings the snapshot up to date with one response and says so.
func (s *Store) advance(ctx context.Context, prefix string, snap Snapshot, resp clientv3.WatchResponse, emit func(Event)) (Snapshot, error) {
	switch {
	case resp.CompactRevision != 0:
		return snap, errRelist
	case resp.Err() != nil:
		return snap, fmt.Errorf("watch %s: %w", prefix, s.explain(ctx, resp.Err()))
	case resp.Header.GetRevision() < snap.Revision:
		return snap, errRelist // not the store this listing came from
	}
	if len(resp.Events) == 0 {
		snap.Revision = resp.Header.GetRevision()
	}
	resp.Events = slices.DeleteFunc(resp.Events, func(ev *clientv3.Event) bool {
		return ev.Kv.ModRevision <= snap.Revision // in the listing already
	})
	if len(resp.Events) == 0 {
		emit(Event{Revision: snap.Revision})
		return snap, nil
	}
	// A response to a watch that lags behind carries the store's revision in
	// its header, but not yet all events up to it.
	snap.Revision = resp.Events[len(resp.Events)-1].Kv.ModRevision
	snap.Entries = merge(snap.Entries, resp.Events, prefix)
	tell(snap, emit)
	return snap, nil
}

// merge returns a copy of entries with the events applied.
func merge(entries []Entry, events []*clientv3.Event, prefix string) []Entry {
	entries = slices.Clone(entries)
	for _, ev := range events {
		e := entry(ev.Kv, prefix)
		i, found := slices.BinarySearchFunc(entries, e.Key, func(e Entry, key string) int {
			return strings.Compare(e.Key, key)
		})
		switch {
		case ev.Type == clientv3.EventTypeDelete && found:
			entries = slices.Delete(entries, i, i+1)
		case ev.Type == clientv3.EventTypeDelete:
		case found:
			entries[i] = e
		default:
			entries = slices.Insert(entries, i, e)
		}
	}
	return entries
}
