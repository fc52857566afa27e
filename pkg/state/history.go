package state

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sluice-lb/sluice/pkg/objects"
)

// HistoryQuery says which changes are asked for.
type HistoryQuery struct {
	// Type and Selector choose changes of at least one object they pick; nil
	// means all changes.
	Type     *objects.Type
	Selector *objects.Selector
	// Limit is how many changes are wanted at most; 0 means all.
	Limit int
	// Since leaves out changes made before, by the clock of who made them.
	Since time.Time
	// Reverse asks for the oldest changes first instead of the newest.
	Reverse bool
}

// History returns recorded changes, newest first. A change in several
// transactions has several records and counts once. Records that are malformed
// are among them and say so; void ones are not. The requests are bounded, and
// never more records are held than wanted.
func (s *Store) History(ctx context.Context, q HistoryQuery) ([]Recorded, error) {
	since := ""
	if !q.Since.IsZero() {
		since = idTime(q.Since)
	}
	if q.Reverse {
		kept := window{limit: q.Limit}
		err := s.records(ctx, since, "", func(r Recorded) bool {
			return !s.wants(q, r) || kept.add(r)
		})
		return kept.flat(), err
	}
	all, err := s.newest(ctx, q, since)
	slices.SortStableFunc(all, func(a, b Recorded) int { return int(b.Revision - a.Revision) })
	return all, err
}

// Record IDs begin with the time, and etcd reads forwards only (to read
// backwards it would first collect everything), so the newest changes are looked
// for in windows of time that reach back further and further.
const (
	firstWindow = time.Hour
	lastWindow  = 5000 * time.Hour
)

func (s *Store) newest(ctx context.Context, q HistoryQuery, since string) ([]Recorded, error) {
	now, to := time.Now(), ""
	var all []Recorded
	changes := 0
	for span := firstWindow; ; span *= 4 {
		from := idTime(now.Add(-span))
		if span > lastWindow || from < since {
			from = since
		}
		kept := window{limit: q.Limit - changes, newest: true}
		if q.Limit == 0 {
			kept.limit = 0
		}
		err := s.records(ctx, from, to, func(r Recorded) bool { return !s.wants(q, r) || kept.add(r) })
		if err != nil {
			return nil, err
		}
		all = append(all, kept.flat()...)
		changes += len(kept.changes)
		if from == since || q.Limit > 0 && changes >= q.Limit {
			return all, nil
		}
		to = from
	}
}

// window holds up to limit changes (0: all), the oldest or the newest it is given.
type window struct {
	limit   int
	newest  bool
	changes [][]Recorded
}

// add takes a record and tells whether more are wanted.
func (w *window) add(r Recorded) bool {
	if n := len(w.changes); n > 0 && w.changes[n-1][0].ID == r.ID {
		w.changes[n-1] = append(w.changes[n-1], r)
		return true
	}
	if w.limit > 0 && len(w.changes) == w.limit {
		if !w.newest {
			return false
		}
		w.changes = w.changes[1:]
	}
	w.changes = append(w.changes, []Recorded{r})
	return true
}

func (w *window) flat() []Recorded { return slices.Concat(w.changes...) }

// wants tells whether the query asks for the record.
func (s *Store) wants(q HistoryQuery, r Recorded) bool {
	switch {
	case r.Void:
		return false
	case r.Malformed != "" || q.Selector == nil:
		return true
	}
	return slices.ContainsFunc(r.Objects, func(o RecordedObject) bool {
		a, ok := s.altered(q.Type, o)
		return ok && a.Picked(q.Selector)
	})
}

// recordPage is how many records one request reads: each may tell of more than a
// hundred objects.
const recordPage = 100

// records calls each with the records whose IDs are in [from, to), in their
// order, as long as it returns true. An empty to means no end.
func (s *Store) records(ctx context.Context, from, to string, each func(Recorded) bool) error {
	prefix := s.own("changes")
	next, end := prefix+from, clientv3.GetPrefixRangeEnd(prefix)
	if to != "" {
		end = prefix + to
	}
	for next < end {
		resp, err := s.get(ctx, next, clientv3.WithRange(end), clientv3.WithLimit(recordPage))
		if err != nil {
			return fmt.Errorf("read history: %w", s.permit(ctx, err, need{key: prefix, end: clientv3.GetPrefixRangeEnd(prefix)}))
		}
		for _, kv := range resp.Kvs {
			if !each(decodeRecord(entry(kv, prefix))) {
				return nil
			}
		}
		if !resp.More || len(resp.Kvs) == 0 {
			return nil
		}
		next = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
	}
	return nil
}

// ShowChange returns the records of one change, in the order of its parts: one,
// unless it was too large for one transaction. A change that was interrupted
// lacks its last parts; one whose last record is void failed there. The error of
// an ID that is not in the history wraps ErrNotFound.
func (s *Store) ShowChange(ctx context.Context, id string) ([]Recorded, error) {
	var parts []Recorded
	if id == "" || strings.Contains(id, "/") {
		return nil, fmt.Errorf("change %q: %w", id, ErrNotFound)
	}
	err := s.records(ctx, id+"/", id+"0", func(r Recorded) bool { // "0" follows "/"
		parts = append(parts, r)
		return true
	})
	if err == nil && len(parts) == 0 {
		err = fmt.Errorf("change %s: %w", id, ErrNotFound)
	}
	return parts, err
}
