package lbd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// lifecycle runs named tasks and stops them in the opposite order of their
// start, each one whole before the next: who depends on another was started
// after it.
type lifecycle struct {
	log    *slog.Logger
	tasks  []*task
	failed chan error // the first failure
}

type task struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{}
	err    error // set before done is closed
}

func newLifecycle(log *slog.Logger) *lifecycle {
	return &lifecycle{log: log, failed: make(chan error, 1)}
}

// start runs a task until stop; its end before that is a failure of the whole.
func (l *lifecycle) start(name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	t := &task{name: name, cancel: cancel, done: make(chan struct{})}
	l.tasks = append(l.tasks, t)
	go func() {
		defer close(t.done)
		if err := run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.err = fmt.Errorf("%s: %w", name, err)
			select {
			case l.failed <- t.err:
			default:
			}
		}
	}()
}

// end stops the named task ahead of its turn and waits for it. Only a task that
// nothing started later depends on may end this way.
func (l *lifecycle) end(name string) {
	i := slices.IndexFunc(l.tasks, func(t *task) bool { return t.name == name })
	if i < 0 {
		return
	}
	t := l.tasks[i]
	l.tasks = slices.Delete(l.tasks, i, i+1)
	t.cancel()
	<-t.done
}

// onStop runs fn when its turn to stop comes.
func (l *lifecycle) onStop(name string, fn func() error) {
	l.start(name, func(ctx context.Context) error {
		<-ctx.Done()
		return fn()
	})
}

// wait returns when ctx ends, with nil, or when a task fails, with its error.
func (l *lifecycle) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-l.failed:
		return err
	}
}

// stop ends all tasks within the timeout and returns what went wrong in doing
// so. A task that does not end in time is left behind and named.
func (l *lifecycle) stop(timeout time.Duration) error {
	deadline := time.After(timeout)
	var errs []error
	for i := len(l.tasks) - 1; i >= 0; i-- {
		t := l.tasks[i]
		t.cancel()
		select {
		case <-t.done:
			errs = append(errs, t.err)
		case <-deadline:
			for _, left := range l.tasks[:i] {
				left.cancel()
			}
			return errors.Join(append(errs, fmt.Errorf("stop %s: still busy after %s", t.name, timeout))...)
		}
		l.log.Debug("stopped", "task", t.name)
	}
	return errors.Join(errs...)
}
