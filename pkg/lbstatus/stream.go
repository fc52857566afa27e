package lbstatus

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// serveEvents streams changes until the follower goes away or the server ends.
// Nothing is queued for anyone: a follower that reads slowly gets the latest
// state of whatever changed meanwhile, and one that does not read is dropped.
func (s *server) serveEvents(q query, w http.ResponseWriter, r *http.Request) {
	if _, known := s.board.Report(q.pool); q.pool != "" && !known {
		refuse(w, http.StatusNotFound, "unknown pool %q", q.pool)
		return
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", eventsType)
		return
	}
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		w.Header().Set("Retry-After", "5")
		refuse(w, http.StatusServiceUnavailable, "%d follow already", cap(s.streams))
		return
	}
	w.Header().Set("Content-Type", eventsType)
	w.Header().Set("X-Accel-Buffering", "no") // what proxies understand
	id := r.Header.Get("Last-Event-ID")
	if id == "" {
		id = q.lastEvent
	}
	f := follower{board: s.board, out: w, control: http.NewResponseController(w), wants: followed{q.pool, q.brief}}
	f.follow(r.Context(), s.board.seen(id))
}

// follower is one stream.
type follower struct {
	board   *Board
	out     http.ResponseWriter
	control *http.ResponseController
	wants   followed
}

// follow sends what changed after the change numbered seen, and goes on until
// ctx ends or nobody reads.
func (f *follower) follow(ctx context.Context, seen uint64) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	if !f.write(fmt.Appendf(nil, "retry: %d\n\n", streamRetry.Milliseconds())) {
		return
	}
	for {
		news, last, more := f.board.since(seen, f.wants)
		for _, c := range news {
			event, err := f.board.event(c, f.wants)
			if err != nil || ctx.Err() != nil || !f.write(event) {
				return
			}
		}
		seen = last
		if f.control.Flush() != nil || !pause(ctx, streamPace) || !f.idle(ctx, more, beat.C) {
			return
		}
	}
}

// idle returns true at the next change; until then it shows that the line is
// alive.
func (f *follower) idle(ctx context.Context, more <-chan struct{}, beat <-chan time.Time) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-more:
			return true
		case <-beat:
			if !f.write([]byte(": alive\n\n")) || f.control.Flush() != nil {
				return false
			}
		}
	}
}

// write sends a piece within its own time: the server's limits are for answers
// that end. A writer without deadlines, as in a test, has none.
func (f *follower) write(piece []byte) bool {
	_ = f.control.SetWriteDeadline(time.Now().Add(streamWrite))
	_, err := f.out.Write(piece)
	return err == nil
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
