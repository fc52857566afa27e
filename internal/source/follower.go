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

// follower turns the events of one watch into what is heard about one service.
type follower struct {
	svc  lb.Service
	log  *slog.Logger
	emit func(lb.Heard)

	mu      sync.Mutex // held while emitting: emissions are in order
	names   *names
	pool    *lb.Pool // the last good one; nil before the first
	trouble string   // what is said about the source, for the log
}

// event takes one event of the watch.
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
		f.pool = h.Pool
	}
	f.say(h)
}

// say emits, and logs when the trouble changes.
func (f *follower) say(h lb.Heard) {
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
		if f.pool != nil {
			b, listed = f.pool.Backend(e.Key)
		}
		return b, listed, err
	}
	return lb.Backend{Host: e.Key, Weight: v.Weight, Enabled: v.Pooled == "yes", Revision: e.Revision}, v.Pooled != "inactive", nil
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

// readdress emits the last pool once more with the addresses now known.
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
	f.emit(lb.Heard{Service: f.svc.Name, Pool: f.pool, Revision: again.Revision, Err: f.trouble})
}
