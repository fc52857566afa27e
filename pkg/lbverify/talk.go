package lbverify

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// talk is the conversation with one balancer about one pool.
type talk struct {
	Options
	balancer string
	client   *lbstatus.Client
	exps     []Expectation // of one pool, at least one
}

// noAnswer is the reason of a finding nothing has been heard about.
const noAnswer = "no answer in time"

// verify asks until everything is confirmed or ctx ends. The findings are in
// the order of the expectations.
func (t *talk) verify(ctx context.Context) []Finding {
	last := findings(t.balancer, t.exps, noAnswer)
	pool, revision := t.exps[0].Pool, t.revision()
	hold := holdTime(ctx)
	for p := newPause(); ; {
		r, err := t.client.Report(ctx, pool, revision, hold)
		switch {
		case lbstatus.IsNotLBD(err):
			return t.verifyPyBal(ctx)
		case err != nil:
			last = t.lost(ctx, last, err)
		default:
			// A revision newer than this one ends the pause early.
			p.note(r.Applied)
			revision, hold = max(t.revision(), r.Applied+1), p.next
			last = t.judge(r, last)
		}
		if confirmed(last) {
			return last
		}
		if !p.sleep(ctx) {
			return t.ended(ctx, last)
		}
	}
}

// revision is the highest the expectations name.
func (t *talk) revision() int64 {
	highest := int64(0)
	for _, e := range t.exps {
		highest = max(highest, e.Revision)
	}
	return highest
}

// judge checks every expectation against one and the same report. What was
// found before is not logged again.
func (t *talk) judge(r lbstatus.Report, last []Finding) []Finding {
	all := make([]Finding, 0, len(t.exps))
	for i, e := range t.exps {
		f := Check(r, e)
		f.Balancer = t.balancer
		if f != last[i] {
			t.log(f)
		}
		all = append(all, f)
	}
	return all
}

// lost is what is left of the findings when the balancer stops making sense:
// nothing is confirmed any longer. A request cut off by the end of the budget
// says nothing about the balancer, so the last answer stands.
func (t *talk) lost(ctx context.Context, last []Finding, err error) []Finding {
	if ctx.Err() != nil && last[0].Reason != noAnswer {
		return last
	}
	lost := slices.Clone(last)
	for i := range lost {
		lost[i].Outcome, lost[i].Reason = Unknown, err.Error()
	}
	if lost[0] != last[0] {
		t.log(lost[0])
	}
	return lost
}

// ended marks findings that were cut short by a cancellation from outside.
func (t *talk) ended(ctx context.Context, last []Finding) []Finding {
	if !errors.Is(ctx.Err(), context.Canceled) {
		return last
	}
	last = slices.Clone(last)
	for i := range last {
		if last[i].Outcome != Confirmed {
			last[i].Outcome, last[i].Reason = Unknown, "interrupted"
		}
	}
	return last
}

// log warns of a finding that is not as wanted.
func (t *talk) log(f Finding) {
	if f.Outcome == Confirmed {
		t.Log.Debug(f.String())
		return
	}
	t.Log.Warn(f.String())
}

// verifyPyBal polls for each expectation, for PyBal's dialect neither waits
// nor knows revisions.
func (t *talk) verifyPyBal(ctx context.Context) []Finding {
	all := make([]Finding, len(t.exps))
	var wg sync.WaitGroup
	for i, e := range t.exps {
		wg.Go(func() { all[i] = t.pollPyBal(ctx, e) })
	}
	wg.Wait()
	return t.ended(ctx, all)
}

func (t *talk) pollPyBal(ctx context.Context, e Expectation) Finding {
	last := Finding{Balancer: t.balancer, Expectation: e, Reason: noAnswer}
	poll := lbstatus.Poll{Attempts: t.Retries, Pause: t.Wait}
	_, _ = t.client.PyBal(ctx, e.Pool, e.Host, poll, func(s lbstatus.ServerState, err error) bool {
		if err != nil {
			last = t.lost(ctx, []Finding{last}, err)[0]
			return false
		}
		last = CheckPyBal(s, e)
		last.Balancer = t.balancer
		t.log(last)
		return last.Outcome == Confirmed
	})
	return last
}

func confirmed(all []Finding) bool {
	return !slices.ContainsFunc(all, func(f Finding) bool { return f.Outcome != Confirmed })
}

// holdTime is how long a balancer may hold the first question: most of the
// time left, so that its answer still arrives in time to say how far it got.
func holdTime(ctx context.Context) time.Duration {
	if d, ok := ctx.Deadline(); ok {
		return time.Until(d) * 9 / 10
	}
	return lbstatus.MaxWait
}

// pause grows between questions that bring nothing new.
type pause struct {
	next    time.Duration
	began   time.Time
	applied int64
	moved   bool
}

const (
	minPause = 50 * time.Millisecond
	maxPause = time.Second
)

func newPause() *pause { return &pause{next: minPause, began: time.Now(), applied: -1} }

// note takes in the revision of an answer: one that moved on is worth asking
// about again soon.
func (p *pause) note(applied int64) {
	p.moved = applied > p.applied && p.applied >= 0
	p.applied = applied
}

// sleep waits until next has passed since the last sleep ended, so that time
// spent being held by the balancer counts; at least minPause passes whatever
// the balancer does. False means that ctx has ended.
func (p *pause) sleep(ctx context.Context) bool {
	d := minPause
	if !p.moved {
		d = max(minPause, p.next-time.Since(p.began))
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return false
	}
	p.next = min(2*p.next, maxPause)
	p.began, p.moved = time.Now(), false
	return true
}
