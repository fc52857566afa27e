package lbverify

import (
	"context"
	"sync"

	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// Told is what one balancer said about one pool.
type Told struct {
	Report lbstatus.Report
	// Err is why there is no report.
	Err error
}

// atOnce is how many requests are under way to one balancer.
const atOnce = 8

// Reports asks a balancer once about each of the pools, within one Timeout in
// all. The answers are in the order of the pools.
func (v *Verifier) Reports(ctx context.Context, b Balancer, pools []string) []Told {
	ctx, cancel := context.WithTimeout(ctx, v.o.Timeout)
	defer cancel()
	all := make([]Told, len(pools))
	c, err := v.client(b)
	if err != nil {
		for i := range all {
			all[i].Err = err
		}
		return all
	}
	defer c.Close()
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(atOnce, len(pools)) {
		wg.Go(func() {
			for i := range next {
				all[i].Report, all[i].Err = presentReport(ctx, c, pools[i])
			}
		})
	}
	for i := range pools {
		next <- i
	}
	close(next)
	wg.Wait()
	return all
}
