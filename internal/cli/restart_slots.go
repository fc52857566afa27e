package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-lb/sluice/internal/workflow"
	"github.com/sluice-lb/sluice/pkg/state"
)

// atMostHosts is --max-concurrency: how many hosts of a pool may be restarting
// at a time, as a number or as a share of the pool. Zero is no limit.
type atMostHosts struct {
	n     int
	share percentage
}

// String is the limit as the flag takes it.
func (m *atMostHosts) String() string {
	if m.share > 0 {
		return m.share.String()
	}
	return strconv.Itoa(m.n)
}

// Type is what help calls it.
func (m *atMostHosts) Type() string { return "limit" }

// Set reads the flag.
func (m *atMostHosts) Set(text string) error {
	*m = atMostHosts{}
	if strings.HasSuffix(text, "%") {
		return m.share.Set(text)
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return fmt.Errorf("%q is neither a number of hosts nor a share like 10%%", text)
	}
	m.n = n
	return nil
}

func (m *atMostHosts) wanted() bool { return m.n > 0 || m.share > 0 }

// of is the limit for a pool of so many hosts; a share is at least one.
func (m *atMostHosts) of(hosts int) int {
	if m.share > 0 {
		return max(1, int(float64(m.share)*float64(hosts)/100))
	}
	return m.n
}

// claim waits for a slot in each of the pools, always in the same order: two
// hosts that wait for each other's would wait for ever. The slots are kept
// until release, or until the process is gone.
func (o *restartOptions) claim(ctx context.Context, s *session, p *workflow.Procedure, log *slog.Logger) (release func(), err error) {
	var held []func()
	release = func() {
		for _, r := range slices.Backward(held) {
			r()
		}
	}
	if !o.maxConcurrency.wanted() {
		return release, nil
	}
	deadline := time.Now().Add(o.lockTimeout.duration())
	for _, e := range slices.SortedFunc(slices.Values(p.Pools), func(a, b workflow.Entry) int { return strings.Compare(a.Pool, b.Pool) }) {
		one, err := o.claimOne(ctx, s, p, e, time.Until(deadline), log)
		if err != nil {
			release()
			return nil, slotError(ctx, err)
		}
		held = append(held, one)
	}
	return release, nil
}

// slotError gives the failure to get a slot its exit code.
func slotError(ctx context.Context, err error) error {
	_, locked := errors.AsType[*state.LockedError](err)
	switch {
	case ctx.Err() != nil:
		return restartExit(fmt.Errorf("%w; nothing was written", workflow.ErrInterrupted))
	case locked:
		return withExit(exitUsage, fmt.Errorf("%w; nothing was written", err))
	}
	return err
}

func (o *restartOptions) claimOne(ctx context.Context, s *session, p *workflow.Procedure, e workflow.Entry, wait time.Duration, log *slog.Logger) (func(), error) {
	slots, err := o.slots(ctx, s, p, e)
	if err != nil {
		return nil, err
	}
	claim := state.Claim{Name: "restart/" + p.DC + "/" + e.Pool, Slots: slots, Wait: max(wait, 0), Audit: s.audit}
	held, release, err := s.store.Lock(ctx, claim, func(ahead []state.Claimant) {
		log.Info(fmt.Sprintf("pool %s: at most %d restart at a time; waiting for %s", e.Pool, slots, ahead[0]))
	})
	if err != nil {
		return nil, err
	}
	// To stop half way would be worse than one host too many: what is left of
	// the pool is asked about before each depool.
	stop := context.AfterFunc(held, func() {
		if cause := context.Cause(held); errors.Is(cause, state.ErrLockLost) {
			log.Warn("going on without a slot: " + cause.Error())
		}
	})
	return func() {
		stop()
		release()
	}, nil
}

// slots is how many hosts of a pool may restart at a time. Inactive ones are not
// of the pool.
func (o *restartOptions) slots(ctx context.Context, s *session, p *workflow.Procedure, e workflow.Entry) (int, error) {
	if o.maxConcurrency.share == 0 {
		return o.maxConcurrency.n, nil
	}
	sel, err := p.Type.SelectExact(map[string]string{"dc": p.DC, "cluster": e.Cluster, "service": e.Service})
	if err != nil {
		return 0, err
	}
	found, err := s.store.List(ctx, p.Type, sel)
	if err != nil {
		return 0, err
	}
	hosts := 0
	for _, obj := range found.Objects {
		if at, known := standingOf(obj.Raw); !known || at != absent {
			hosts++
		}
	}
	return o.maxConcurrency.of(hosts), nil
}
