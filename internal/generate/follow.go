package generate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-lb/sluice/pkg/state"
)

// settleAfter is how long a change waits for those that come with it.
const settleAfter = 20 * time.Millisecond

// resyncEvery is how often all files are compared with the store although
// nothing changed there: somebody may have edited one.
const resyncEvery = time.Minute

// Pauses before what went wrong with a file is tried again.
const (
	firstRetry = time.Second
	lastRetry  = 10 * time.Second
)

// Follow keeps the files as the store says until ctx ends, and serves them
// meanwhile where Options ask for it.
func (e *Engine) Follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	e.publish()
	served := make(chan error, 1)
	if e.Listen != "" {
		l, err := net.Listen("tcp", e.Listen)
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		go func() { served <- serve(ctx, l, e.handler()) }()
	}
	heard := make(chan heardEvent, 64)
	var watches errgroup.Group
	for i, path := range e.Kind.reads() {
		watches.Go(func() error {
			return e.Store.Watch(ctx, e.Store.Root()+path, func(ev state.Event) {
				select {
				case heard <- heardEvent{i, ev}:
				case <-ctx.Done():
				}
			})
		})
	}
	err := e.loop(ctx, heard, served)
	cancel()
	return errors.Join(err, watches.Wait())
}

// heardEvent is an event of one of the watches.
type heardEvent struct {
	watch int
	state.Event
}

// picture is the latest of all that is watched.
type picture struct {
	snaps []*state.Snapshot // nil: not heard of yet
	errs  []error
}

func newPicture(n int) *picture {
	return &picture{snaps: make([]*state.Snapshot, n), errs: make([]error, n)}
}

// take takes an event, and reports whether there is something new.
func (p *picture) take(h heardEvent) bool {
	p.errs[h.watch] = h.Err
	if h.Snapshot == nil {
		return false
	}
	p.snaps[h.watch] = h.Snapshot
	return true
}

// err is what is wrong with the store.
func (p *picture) err() error {
	for _, err := range p.errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// whole returns the snapshots once there is one of each.
func (p *picture) whole() ([]state.Snapshot, bool) {
	all := make([]state.Snapshot, len(p.snaps))
	for i, snap := range p.snaps {
		if snap == nil {
			return nil, false
		}
		all[i] = *snap
	}
	return all, true
}

// hear takes an event, and reports whether there is something new.
func (e *Engine) hear(p *picture, h heardEvent) bool {
	news, was := p.take(h), e.away
	e.away = p.err()
	if e.away == nil {
		e.contact = time.Now()
	}
	e.tellStore()
	if (was == nil) == (e.away == nil) {
		e.publish()
	} else {
		e.publishMetrics()
	}
	return news
}

// loop takes events and writes files, soon after each change, again after
// trouble, and now and then, until ctx ends or the web server does.
func (e *Engine) loop(ctx context.Context, heard <-chan heardEvent, served <-chan error) error {
	p := newPicture(len(e.Kind.reads()))
	resync := time.NewTicker(resyncEvery)
	defer resync.Stop()
	var soon, again <-chan time.Time
	if len(p.snaps) == 0 {
		soon = time.After(0) // made of nothing, and of all there is
	}
	pause := firstRetry
	for {
		retry := true
		select {
		case <-ctx.Done():
			if e.Listen != "" {
				return <-served
			}
			return nil
		case err := <-served:
			return err
		case h := <-heard:
			if e.hear(p, h) && soon == nil {
				soon = time.After(settleAfter)
			}
			continue
		case <-soon:
			soon, retry = nil, false
		case <-again:
			again, pause = nil, min(2*pause, lastRetry)
		case <-resync.C:
			e.forget("")
		}
		if snaps, ok := p.whole(); ok {
			e.pass(ctx, snaps, retry)
		}
		e.publishMetrics()
		switch {
		case !e.unsettled:
			again, pause = nil, firstRetry
		case again == nil:
			again = time.After(pause)
		}
	}
}
