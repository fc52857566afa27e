// Package workflow holds the procedures operators run against live traffic:
// take a server out, make sure that it is out, do the work, bring it back, and
// at every point know and say what is left in which state.
package workflow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/sluice-lb/sluice/pkg/lbverify"
	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// The ways a procedure ends early. Every error of a Procedure wraps at most one
// of them; a *RestartError stands for itself, and any other error means that
// the present state could not be read and nothing was done.
var (
	// ErrRefused is a request that was not begun: nothing was written.
	ErrRefused = errors.New("refused")
	// ErrUnconfirmed is a change that the store or a balancer did not confirm.
	ErrUnconfirmed = errors.New("not confirmed")
	// ErrInterrupted is a procedure cancelled from outside.
	ErrInterrupted = errors.New("interrupted")
)

// RestartError is the failure of one or more units to restart.
type RestartError struct {
	// Code is the exit code of the last unit that failed; 1 where there is
	// none.
	Code int
	// Err names the units.
	Err error
}

// Error returns what Err says.
func (e *RestartError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *RestartError) Unwrap() error { return e.Err }

// Store is where the objects are: a *state.Store.
type Store interface {
	List(ctx context.Context, t *objects.Type, sel *objects.Selector) (state.Listing, error)
	Update(ctx context.Context, audit state.Audit, muts []state.Mutation) (state.Change, error)
}

// Verifier asks the balancers: a *lbverify.Verifier.
type Verifier interface {
	Verify(ctx context.Context, balancers []lbverify.Balancer, exps []lbverify.Expectation) []lbverify.Finding
	Headroom(ctx context.Context, balancers []lbverify.Balancer, pool string, leaving []string) []lbverify.Room
}

// Restarter restarts a unit and waits until that is done. Its error may carry
// the exit code of a program: a method ExitCode() int.
type Restarter interface {
	Restart(ctx context.Context, unit string) error
}

// Procedure is one host's part in some pools, and the means to change it.
type Procedure struct {
	Store     Store
	Verifier  Verifier
	Restarter Restarter
	// Type is the type of the objects: node.
	Type *objects.Type
	// Audit is stored with every change.
	Audit state.Audit
	// DC and Host name the server; both are taken literally.
	DC, Host string
	// Pools are the catalog's entries the procedure covers.
	Pools []Entry
	// Grace is the time between a confirmed depool and the restart, for
	// requests under way to end.
	Grace time.Duration
	// Floors, if set, says of each pool that would be left with fewer nodes than
	// agreed upon, were the objects depooled, how many that are.
	Floors func(ctx context.Context, leaving []objects.Object) ([]string, error)
	// IgnoreHeadroom depools even where too few healthy servers would remain.
	IgnoreHeadroom bool
	// Log takes the progress.
	Log *slog.Logger
}

// objects returns the host's objects in the pools, those that say yes and those
// that say no, each once, in the order of the pools. Inactive ones are nobody's
// business here.
func (p *Procedure) objects(ctx context.Context) (yes, no []objects.Object, err error) {
	asked := map[[2]string]bool{}
	for _, e := range p.Pools {
		tags := [2]string{e.Cluster, e.Service}
		if asked[tags] {
			continue
		}
		asked[tags] = true
		o, ok, err := p.object(ctx, e)
		if err != nil {
			return nil, nil, err
		}
		if !ok {
			p.Log.Warn(fmt.Sprintf("pool %s: no object dc=%s,cluster=%s,service=%s,name=%s", e.Pool, p.DC, e.Cluster, e.Service, p.Host))
			continue
		}
		v, err := o.Value("pooled")
		switch {
		case err != nil:
			return nil, nil, err
		case v == "yes":
			yes = append(yes, o)
		case v == "no":
			no = append(no, o)
		}
	}
	return yes, no, nil
}

// object reads the host's object in one pool.
func (p *Procedure) object(ctx context.Context, e Entry) (objects.Object, bool, error) {
	sel, err := p.Type.SelectExact(map[string]string{"dc": p.DC, "cluster": e.Cluster, "service": e.Service, "name": p.Host})
	if err != nil {
		return objects.Object{}, false, err
	}
	list, err := p.Store.List(ctx, p.Type, sel)
	if err != nil {
		return objects.Object{}, false, fmt.Errorf("read %s: %w", sel, err)
	}
	if len(list.Objects) == 0 {
		return objects.Object{}, false, nil
	}
	return list.Objects[0], true, nil
}

// touched are the entries that one of the objects belongs to.
func (p *Procedure) touched(objs []objects.Object) []Entry {
	var entries []Entry
	for _, e := range p.Pools {
		for _, o := range objs {
			cluster, _ := p.Type.Tag(o.Key, "cluster")
			service, _ := p.Type.Tag(o.Key, "service")
			if cluster == e.Cluster && service == e.Service {
				entries = append(entries, e)
				break
			}
		}
	}
	return entries
}

func keys(objs []objects.Object) string {
	names := make([]string, 0, len(objs))
	for _, o := range objs {
		names = append(names, o.Key.String())
	}
	return strings.Join(names, ", ")
}

// sleep waits; it returns ErrInterrupted when ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return interrupted(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return interrupted(ctx)
	}
}

func interrupted(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return ErrInterrupted
}
