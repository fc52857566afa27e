package lbd

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestStopsInTheOppositeOrderOfStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLifecycle(slog.New(slog.DiscardHandler))
		var mu sync.Mutex
		var ended []string
		for _, name := range []string{"plane", "engine", "sources"} {
			l.start(name, func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(time.Second) // the bubble's clock: each takes its time
				mu.Lock()
				defer mu.Unlock()
				ended = append(ended, name)
				return ctx.Err()
			})
		}
		l.onStop("bgp", func() error { ended = append(ended, "bgp"); return nil })
		if err := l.stop(time.Minute); err != nil {
			t.Error(err)
		}
		if want := []string{"bgp", "sources", "engine", "plane"}; !slices.Equal(ended, want) {
			t.Errorf("ended %v, want %v", ended, want)
		}
	})
}

func TestAFailedTaskEndsTheWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLifecycle(slog.New(slog.DiscardHandler))
		l.start("good", func(ctx context.Context) error { <-ctx.Done(); return nil })
		l.start("bad", func(context.Context) error { return errors.New("no more") })
		if err := l.wait(t.Context()); err == nil || err.Error() != "bad: no more" {
			t.Errorf("wait: %v", err)
		}
		if err := l.stop(time.Minute); err == nil || err.Error() != "bad: no more" {
			t.Errorf("stop: %v", err)
		}
	})
}

func TestATaskThatDoesNotEndIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLifecycle(slog.New(slog.DiscardHandler))
		release := make(chan struct{})
		var first context.Context
		l.start("first", func(ctx context.Context) error { first = ctx; <-ctx.Done(); return nil })
		l.start("stuck", func(context.Context) error { <-release; return nil })
		synctest.Wait()
		err := l.stop(20 * time.Second)
		if err == nil || !strings.Contains(err.Error(), "stop stuck: still busy after 20s") {
			t.Errorf("stop: %v", err)
		}
		if first.Err() == nil {
			t.Error("the tasks before it were not told to stop")
		}
		close(release)
		synctest.Wait()
	})
}
