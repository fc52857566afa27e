package lbstatus

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The events of /v1/events, by the name in their "event" field.
const (
	eventPools   = "pools"   // which pools there are: an array of names
	eventPool    = "pool"    // one pool: its Report, or its Summary in a brief stream
	eventBGP     = "bgp"     // how it stands with the routers: a BGP
	eventWarning = "warning" // what is wrong with the balancer as a whole: a string
)

// change is something a follower has not been told yet; at is the number of its
// last change.
type change struct {
	at    uint64
	event string
	pool  string // with eventPool
}

// followed is what one follower wants to hear.
type followed struct {
	pool  string // this pool only, unless empty
	brief bool
}

// since returns what changed after the change numbered seen, the oldest first,
// the number of the last change there was, and a channel that is closed at the
// next one. Seen 0 is everything, and begins with which pools there are.
func (b *Board) since(seen uint64, f followed) (news []change, last uint64, more <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.orderAt > seen {
		news = append(news, change{at: b.orderAt, event: eventPools})
	}
	if b.bgpAt > seen && f.pool == "" {
		news = append(news, change{at: b.bgpAt, event: eventBGP})
	}
	if b.aboutAt > seen && f.pool == "" {
		news = append(news, change{at: b.aboutAt, event: eventWarning})
	}
	for name, s := range b.pools {
		if s.at > seen && (f.pool == "" || f.pool == name) {
			news = append(news, change{at: s.at, event: eventPool, pool: name})
		}
	}
	slices.SortFunc(news, func(x, y change) int { return cmp.Compare(x.at, y.at) })
	if i := slices.IndexFunc(news, func(c change) bool { return c.event == eventPools }); seen == 0 && i > 0 {
		first := news[i]
		first.at = 0 // nothing else has been told with it
		news = slices.Insert(slices.Delete(news, i, i+1), 0, first)
	}
	return news, b.last, b.changed
}

// LastEvent returns the id of the last event there was: a follower that gives
// it as its Last-Event-ID hears what changes from now on.
func (b *Board) LastEvent() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.eventID(b.last)
}

func (b *Board) eventID(at uint64) string { return b.epoch + "-" + strconv.FormatUint(at, 10) }

// seen returns how far a follower with this Last-Event-ID is. An id that is not
// this board's, such as one from before a restart, is at the very beginning.
func (b *Board) seen(id string) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	number, ours := strings.CutPrefix(id, b.epoch+"-")
	n, err := strconv.ParseUint(number, 10, 64)
	if !ours || err != nil || n > b.last {
		return 0
	}
	return n
}

// event writes one event as it goes over the wire, with the latest there is to
// say; nil for a pool that is gone since.
func (b *Board) event(c change, f followed) ([]byte, error) {
	var data any
	switch c.event {
	case eventPools:
		names := b.Pools()
		if f.pool != "" {
			names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name != f.pool })
		}
		data = append([]string{}, names...)
	case eventBGP:
		data = b.BGP()
	case eventWarning:
		data = b.Warning()
	default:
		r, ok := b.Report(c.pool)
		if !ok {
			return nil, nil
		}
		data = r.complete()
		if f.brief {
			data = r.summary()
		}
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "id: %s\nevent: %s\ndata: ", b.eventID(c.at), c.event)
	enc := json.NewEncoder(&out) // its newline ends the data: JSON has no other
	enc.SetEscapeHTML(false)
	if err := enc.Encode(data); err != nil {
		return nil, fmt.Errorf("encode event %s: %w", c.event, err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// Paces of a stream. A burst of changes becomes one batch per pace, each pool
// in it once.
const (
	streamPace  = 100 * time.Millisecond
	heartbeat   = 10 * time.Second
	streamWrite = 10 * time.Second // how long a follower may take to read one event
	streamRetry = 2 * time.Second  // when it should come back
)

// eventsType is the content type of a stream.
const eventsType = "text/event-stream"

// maxStreams is how many may follow at a time.
const maxStreams = 100
