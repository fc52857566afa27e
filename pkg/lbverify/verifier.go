package lbverify

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// Balancer is one load balancer to ask.
type Balancer struct {
	// Name is what an operator calls it.
	Name string
	// URL is where its status is served, "http://host:9090".
	URL string
}

// Options say how patient a Verifier is. Zero fields take the defaults of
// safe-service-restart.
type Options struct {
	// Retries is how often a balancer that speaks PyBal's dialect is asked;
	// 5 unless set.
	Retries int
	// Wait is the pause between two such questions; 3 s unless set.
	Wait time.Duration
	// Timeout bounds one request, beyond the time it asks to be held; 5 s
	// unless set.
	Timeout time.Duration
	// Budget bounds one call of Verify; Retries × Wait + Timeout unless set.
	Budget time.Duration
	// Roots verify balancers that speak HTTPS; nil means the system's.
	Roots *x509.CertPool
	// Log takes a warning for each answer that does not confirm; nil is
	// silence.
	Log *slog.Logger
}

// Verifier asks balancers. It keeps nothing between two calls.
type Verifier struct{ o Options }

// New returns a Verifier.
func New(o Options) *Verifier {
	if o.Retries <= 0 {
		o.Retries = 5
	}
	if o.Wait <= 0 {
		o.Wait = 3 * time.Second
	}
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Budget <= 0 {
		o.Budget = time.Duration(o.Retries)*o.Wait + o.Timeout
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Verifier{o: o}
}

// Verify asks every balancer about every expectation, all at once, until each
// is confirmed or the budget is used up. There is one finding for each pair,
// by balancer and then expectation; without a balancer there is an Unknown one
// for each expectation. Judge them with All.
func (v *Verifier) Verify(ctx context.Context, balancers []Balancer, exps []Expectation) []Finding {
	if len(balancers) == 0 {
		return findings("", exps, "no balancer to ask")
	}
	ctx, cancel := context.WithTimeout(ctx, v.o.Budget)
	defer cancel()
	results := make([][]Finding, len(balancers))
	var wg sync.WaitGroup
	for i, b := range balancers {
		wg.Go(func() { results[i] = v.one(ctx, b, exps) })
	}
	wg.Wait()
	var all []Finding
	for _, r := range results {
		all = append(all, r...)
	}
	return all
}

// client is how to ask a balancer.
func (v *Verifier) client(b Balancer) (*lbstatus.Client, error) {
	return lbstatus.New(b.URL, lbstatus.WithTimeout(v.o.Timeout), lbstatus.WithRoots(v.o.Roots))
}

// one asks one balancer: one conversation for each pool.
func (v *Verifier) one(ctx context.Context, b Balancer, exps []Expectation) []Finding {
	c, err := v.client(b)
	if err != nil {
		return findings(b.Name, exps, err.Error())
	}
	defer c.Close()
	byPool := map[string][]int{} // indices into exps
	for i, e := range exps {
		byPool[e.Pool] = append(byPool[e.Pool], i)
	}
	result := make([]Finding, len(exps))
	var wg sync.WaitGroup
	for _, indices := range byPool {
		wg.Go(func() {
			mine := make([]Expectation, 0, len(indices))
			for _, i := range indices {
				mine = append(mine, exps[i])
			}
			t := talk{Options: v.o, balancer: b.Name, client: c, exps: mine}
			for n, f := range t.verify(ctx) {
				result[indices[n]] = f
			}
		})
	}
	wg.Wait()
	return result
}

// Room is what one balancer says about the headroom of one pool.
type Room struct {
	Balancer string
	Pool     string
	// Problems is what speaks against the depool; see Headroom.
	Problems []string
	// Err is why there is no answer.
	Err error
}

// Headroom asks every balancer whether the pool could lose these hosts. A
// balancer that does not answer at once is asked again until one Timeout has
// passed. A balancer that speaks PyBal's dialect does not tell its threshold:
// only the last healthy server is guarded there.
func (v *Verifier) Headroom(ctx context.Context, balancers []Balancer, pool string, leaving []string) []Room {
	ctx, cancel := context.WithTimeout(ctx, v.o.Timeout)
	defer cancel()
	rooms := make([]Room, len(balancers))
	var wg sync.WaitGroup
	for i, b := range balancers {
		wg.Go(func() {
			rooms[i] = Room{Balancer: b.Name, Pool: pool}
			r, err := v.report(ctx, b, pool)
			if err != nil {
				rooms[i].Err = err
				return
			}
			rooms[i].Problems = Headroom(r, leaving)
		})
	}
	wg.Wait()
	return rooms
}

// report gets one pool's present report, in whatever dialect, trying until ctx
// ends.
func (v *Verifier) report(ctx context.Context, b Balancer, pool string) (lbstatus.Report, error) {
	c, err := v.client(b)
	if err != nil {
		return lbstatus.Report{}, err
	}
	defer c.Close()
	var trouble error
	for p := newPause(); ; {
		r, err := presentReport(ctx, c, pool)
		if err == nil {
			return r, nil
		}
		if trouble == nil || ctx.Err() == nil { // not what the end of the time made of it
			trouble = err
		}
		if !p.sleep(ctx) {
			return lbstatus.Report{}, trouble
		}
	}
}

func presentReport(ctx context.Context, c *lbstatus.Client, pool string) (lbstatus.Report, error) {
	r, err := c.Report(ctx, pool, 0, 0)
	if lbstatus.IsNotLBD(err) {
		return pybalReport(ctx, c, pool)
	}
	if err == nil && r.Applied <= 0 {
		err = fmt.Errorf("balancer has applied nothing of pool %s yet%s", pool, because(r))
	}
	return r, err
}

// pybalReport makes a report of what PyBal's dialect tells.
func pybalReport(ctx context.Context, c *lbstatus.Client, pool string) (lbstatus.Report, error) {
	servers, err := c.PyBalPool(ctx, pool)
	if err != nil {
		return lbstatus.Report{}, err
	}
	r := lbstatus.Report{Pool: pool}
	for host, s := range servers {
		m := lbstatus.Member{Host: host, Enabled: s.Enabled, Pooled: s.Pooled, Weight: s.Weight, Up: lbstatus.UpNo}
		if s.Up {
			m.Up = lbstatus.UpYes
		}
		r.Members = append(r.Members, m)
	}
	return r, nil
}

// findings are Unknown ones for every expectation.
func findings(balancer string, exps []Expectation, reason string) []Finding {
	all := make([]Finding, 0, len(exps))
	for _, e := range exps {
		all = append(all, Finding{Balancer: balancer, Expectation: e, Reason: reason})
	}
	return all
}
