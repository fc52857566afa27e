package source

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/sluice-lb/sluice/internal/lb"
	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// follower turns what one source says into what is heard about one service.
type follower struct {
	svc  lb.Service
	log  *slog.Logger
	emit func(lb.Heard)

	mu      sync.Mutex // held while emitting: emissions are in order
	names   *names
	pool    *lb.Pool  // the last good one; nil before the first
	at      time.Time // when the source last was well
	trouble string    // what is said about the source, for the log
	said    saying    // of a file or web page
	memory  memory    // of the pool before this program started
}

func newFollower(svc lb.Service, log *slog.Logger, names *names, emit func(lb.Heard)) *follower {
	return &follower{svc: svc, log: log, names: names, emit: emit, memory: memory{dirty: make(chan struct{}, 1)}}
}

// event takes one event of a store's watch.
func (f *follower) event(e state.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := lb.Heard{Service: f.svc.Name, Revision: e.Revision}
	switch {
	case e.Err != nil:
		h.Err = e.Err.Error()
	case e.Snapshot == nil:
		h.Err = f.trouble // quiet does not mend what the last snapshot lacked
	case len(e.Snapshot.Entries) == 0:
		h.Err = f.empty()
	default:
		h.Pool, h.Err = f.translate(*e.Snapshot)
	}
	f.say(h)
}

// say emits, and logs when the trouble changes. Trouble before there is any
// pool brings back the one that was kept.
func (f *follower) say(h lb.Heard) {
	switch {
	case h.Pool != nil:
		f.pool = h.Pool
		f.memory.forget()
		f.memory.note()
	case h.Err != "" && f.pool == nil:
		f.recall(&h)
	}
	if h.Revision != 0 && h.At.IsZero() {
		f.at = time.Now()
	}
	if h.Err != f.trouble {
		if h.Err != "" {
			f.log.Warn("source in trouble, keeping the last good pool", "err", h.Err)
		} else {
			f.log.Info("source is well again")
		}
		f.trouble = h.Err
	}
	f.emit(h)
}

// empty is what is said when there is not a single server: nobody means that,
// so it is treated as trouble and the last good pool stays.
func (f *follower) empty() string {
	if f.pool == nil {
		return "no servers declared under " + f.svc.Source
	}
	return fmt.Sprintf("no servers declared any more under %s: keeping the last %d", f.svc.Source, len(f.pool.Backends))
}

// translate makes a pool of a snapshot. An entry that cannot be read keeps the
// server as it last was and is named in the trouble.
func (f *follower) translate(snap state.Snapshot) (*lb.Pool, string) {
	pool := &lb.Pool{Service: f.svc.Name, Revision: snap.Revision, Backends: make([]lb.Backend, 0, len(snap.Entries))}
	var troubles []string
	for _, e := range snap.Entries {
		if strings.Contains(e.Key, "/") {
			troubles = append(troubles, fmt.Sprintf("key %s: not a server", e.Key))
			continue
		}
		b, listed, err := f.backend(e)
		if err != nil {
			troubles = append(troubles, fmt.Sprintf("server %s: %v", e.Key, err))
		}
		if listed {
			pool.Backends = append(pool.Backends, b)
		}
	}
	f.names.fill(pool.Backends)
	return pool, strings.Join(troubles, "; ")
}

// backend translates one entry. Listed is false for an inactive server, and
// for an unreadable one that was not there before.
func (f *follower) backend(e state.Entry) (b lb.Backend, listed bool, err error) {
	v, err := objects.ParseNode(e.Value)
	if err != nil {
		b, listed = f.last().Backend(e.Key)
		return b, listed, err
	}
	return lb.Backend{Host: e.Key, Weight: v.Weight, Enabled: v.Pooled == "yes", Revision: e.Revision}, v.Pooled != "inactive", nil
}

// last is the pool as it last was, be it before the start; empty if never.
func (f *follower) last() lb.Pool {
	switch {
	case f.pool != nil:
		return *f.pool
	case f.memory.kept != nil:
		return *f.memory.kept
	}
	return lb.Pool{}
}

// resolve keeps the addresses of the servers current until ctx ends.
func (f *follower) resolve(ctx context.Context) {
	for {
		wait := refreshAfter
		if f.names.missing() {
			wait = retryAfter
		}
		select {
		case <-ctx.Done():
			return
		case <-f.names.poke:
		case <-time.After(wait):
		}
		f.names.lookUp(ctx, f.readdress)
	}
}

// readdress emits the last pool once more with the addresses now known. DNS is
// no sign of life of the source.
func (f *follower) readdress() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pool == nil {
		return
	}
	again := *f.pool
	again.Backends = append([]lb.Backend(nil), f.pool.Backends...)
	f.names.fill(again.Backends)
	f.pool = &again
	f.memory.note()
	h := lb.Heard{Service: f.svc.Name, Err: f.trouble}
	f.present(&h)
	f.emit(h)
}
