package state

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sluice-lb/sluice/pkg/objects"
)

// Step is one thing Changes has to say: a change, a gap, or trouble.
type Step struct {
	// Revision is the store's revision of the change.
	Revision int64
	// Objects are the selected objects it altered, sorted by key.
	Objects []Altered
	// Record says who made the change; nil if another program did, which
	// records nothing.
	Record *Recorded
	// Gap is set where revisions could not be shown. Objects are then what
	// differs after them all the same.
	Gap *Gap
	// Err says why the store cannot be followed at present. It is told once
	// for each outage; what happened meanwhile follows on recovery.
	Err error
}

// Gap is a range of revisions, both included, that could not be shown one by one.
type Gap struct {
	From, To int64
	Why      string
}

// Changes calls emit, from one goroutine, with every change to an object the
// selector picks before or after it: since that revision, itself included, or
// from now on for 0. It survives outages and hangs without missing or repeating
// a change. Where the store no longer has the changes (compaction) it shows those
// that are in the history, and then a Gap with the differences that remain. It
// returns when ctx ends, without an error, or when it cannot even begin.
func (s *Store) Changes(ctx context.Context, t *objects.Type, sel *objects.Selector, since int64, emit func(Step)) error {
	f := &feed{store: s, t: t, sel: sel, base: s.base(t) + sel.Prefix(), emit: emit, heard: time.Now()}
	if err := f.begin(ctx, since); err != nil {
		return err
	}
	defer s.pulse.join(s.client)()
	pause := firstPause
	for trouble := false; ; {
		err := f.follow(ctx, func() { pause, trouble = firstPause, false })
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, rpctypes.ErrPermissionDenied) {
			return err
		}
		if errors.Is(err, errRelist) {
			if err = f.relist(ctx); err == nil {
				continue
			}
		}
		if !trouble {
			trouble = true
			emit(Step{Revision: f.at, Err: err})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

// feed is one run of Changes.
type feed struct {
	store *Store
	t     *objects.Type
	sel   *objects.Selector
	base  string // the full prefix of everything the selector can pick
	emit  func(Step)

	at    int64            // everything up to here has been told
	known map[string]Entry // the objects as told, by full key
	heard time.Time        // when at was reached
	why   string           // why the listing is outdated
}

// begin takes the listing that the first change is told against.
func (f *feed) begin(ctx context.Context, since int64) (err error) {
	if since == 1 {
		f.known = make(map[string]Entry)
		return nil
	}
	f.known, f.at, err = f.listing(ctx, max(since-1, 0))
	if errors.Is(err, rpctypes.ErrCompacted) {
		f.known, f.at, err = f.listing(ctx, 0)
		f.emit(Step{Revision: f.at, Gap: &Gap{From: since, To: f.at, Why: "compacted"}})
	}
	if errors.Is(err, rpctypes.ErrFutureRev) {
		return fmt.Errorf("watch %s: revision %d is yet to come", f.t.Path, since)
	}
	if err != nil {
		return fmt.Errorf("watch %s: %w", f.t.Path, f.store.permit(ctx, err, prefix(f.base)))
	}
	return nil
}

// listing returns the objects at a revision, 0 being the latest.
func (f *feed) listing(ctx context.Context, revision int64) (map[string]Entry, int64, error) {
	all := make(map[string]Entry)
	revision, err := f.store.scan(ctx, f.base, revision, func(e Entry) {
		e.Key = f.base + e.Key
		all[e.Key] = e
	})
	return all, revision, err
}

// follow tells changes as they come until something breaks. It watches the
// whole namespace: a change and its record arrive together, as they were made.
func (f *feed) follow(ctx context.Context, alive func()) error {
	return f.store.stream(ctx, f.store.cfg.Namespace+"/", max(f.at, 1), func(resp clientv3.WatchResponse) error {
		switch {
		case resp.CompactRevision != 0:
			f.why = "compacted"
			return errRelist
		case resp.Err() != nil && strings.Contains(resp.Err().Error(), "permission denied"): // its code is another
			return fmt.Errorf("watch %s: %w", f.t.Path, f.store.permit(ctx, rpctypes.ErrPermissionDenied, prefix(f.store.cfg.Namespace+"/")))
		case resp.Err() != nil:
			return fmt.Errorf("watch %s: %w", f.t.Path, f.store.explain(ctx, resp.Err()))
		case resp.Header.GetRevision() < f.at:
			f.why = "the store was replaced by another"
			return errRelist
		}
		alive()
		for len(resp.Events) > 0 { // revisions arrive whole
			revision := resp.Events[0].Kv.ModRevision
			n := 1
			for n < len(resp.Events) && resp.Events[n].Kv.ModRevision == revision {
				n++
			}
			if revision > f.at {
				f.tell(revision, resp.Events[:n])
			}
			resp.Events = resp.Events[n:]
			f.at = max(f.at, revision)
		}
		if resp.IsProgressNotify() {
			f.at = max(f.at, resp.Header.GetRevision())
		}
		f.heard = time.Now()
		return nil
	})
}

// tell emits one revision's events.
func (f *feed) tell(revision int64, events []*clientv3.Event) {
	step := Step{Revision: revision}
	changes := f.store.own("changes")
	for _, ev := range events {
		key := string(ev.Kv.Key)
		name, isRecord := strings.CutPrefix(key, changes)
		switch {
		case isRecord && ev.Type == clientv3.EventTypePut:
			r := decodeRecord(Entry{Key: name, Value: ev.Kv.Value, Revision: revision})
			step.Record = &r
		case strings.HasPrefix(key, f.base) && ev.Type == clientv3.EventTypePut:
			f.alter(&step, Entry{Key: key, Value: ev.Kv.Value, Revision: revision})
		case strings.HasPrefix(key, f.base):
			f.alter(&step, Entry{Key: key, Revision: revision})
		}
	}
	f.say(step)
}

// alter takes over an object's new value, nil if it is gone, and adds the
// difference to the step if the object is selected.
func (f *feed) alter(step *Step, now Entry) {
	was, existed := f.known[now.Key]
	if now.Value == nil {
		delete(f.known, now.Key)
	} else {
		f.known[now.Key] = now
	}
	key, err := f.t.ParseKey(strings.TrimPrefix(now.Key, f.store.base(f.t)))
	if err != nil || !existed && now.Value == nil || existed && bytes.Equal(was.Value, now.Value) {
		return
	}
	a := compared(objects.Object{Type: f.t, Key: key, Revision: now.Revision, Raw: now.Value}, was.Value)
	respaced := len(a.Diffs) == 0 && fieldsOf(a.Before) != nil && fieldsOf(a.Object.Raw) != nil
	if !respaced && a.Picked(f.sel) {
		step.Objects = append(step.Objects, a)
	}
}

func (f *feed) say(step Step) {
	if len(step.Objects) == 0 && step.Gap == nil {
		return
	}
	slices.SortFunc(step.Objects, func(a, b Altered) int { return a.Object.Key.Compare(b.Object.Key) })
	f.emit(step)
}

// relist goes on from a new listing: it tells first what the history knows of
// the time between, then what differs all the same.
func (f *feed) relist(ctx context.Context) error {
	now, revision, err := f.listing(ctx, 0)
	if err != nil {
		return fmt.Errorf("watch %s: %w", f.t.Path, f.store.permit(ctx, err, prefix(f.base)))
	}
	gap := Gap{From: f.at + 1, To: revision, Why: f.why}
	if revision < f.at {
		gap.From = 1 // of another store
	} else if err := f.retell(ctx, revision); err != nil {
		return err
	}
	step := Step{Revision: revision, Gap: &gap}
	before := maps.Clone(f.known)
	for _, key := range slices.Sorted(maps.Keys(now)) {
		f.alter(&step, now[key])
	}
	for key := range before {
		if _, ok := now[key]; !ok {
			f.alter(&step, Entry{Key: key, Revision: revision})
		}
	}
	f.known, f.at, f.heard = now, revision, time.Now()
	if gap.From <= gap.To || len(step.Objects) > 0 {
		f.say(step)
	}
	return nil
}

// retell tells the recorded changes after at, up to a revision.
func (f *feed) retell(ctx context.Context, to int64) error {
	var missed []Recorded
	err := f.store.records(ctx, idTime(f.heard.Add(-clockSkew)), "", func(r Recorded) bool {
		if r.Revision > f.at && r.Revision <= to && !r.Void && r.Malformed == "" {
			missed = append(missed, r)
		}
		return true
	})
	if err != nil {
		return err
	}
	slices.SortFunc(missed, func(a, b Recorded) int { return cmp.Compare(a.Revision, b.Revision) })
	for _, r := range missed {
		step := Step{Revision: r.Revision, Record: &r}
		for _, o := range r.Objects {
			if strings.HasPrefix(o.Key, f.base) {
				f.alter(&step, f.recorded(o, r.Revision))
			}
		}
		f.say(step)
	}
	return nil
}

// recorded is what a record says an object was left as, in the form stored.
func (f *feed) recorded(o RecordedObject, revision int64) Entry {
	e := Entry{Key: o.Key, Revision: revision}
	if raw, err := objects.Encode(o.After); err == nil && o.After != nil {
		e.Value = raw
	}
	return e
}
