package lbd

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-lb/sluice/internal/lbd/page"
	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// statusEvery is how often the line for the service manager's people is looked
// at; it is sent when it is another one.
const statusEvery = 5 * time.Second

// stopMargin is what an orderly stop may take beyond its own bound before the
// service manager ends it.
const stopMargin = 5 * time.Second

// tell logs what the service manager could not be told, once: it is no reason
// to do anything else.
func (p *program) tell(err error) {
	if err != nil {
		p.mute.Do(func() { p.Log.Warn("service manager not told", "err", err) })
	}
}

// supervise keeps the service manager informed until ctx ends: of the status,
// and within its watchdog's time that the program is alive. From the end of
// running on, which is when the stop begins, being alive takes no proof: the stop
// has a bound of its own.
func (p *program) supervise(ctx, running context.Context) {
	status := time.NewTicker(statusEvery)
	defer status.Stop()
	var alive <-chan time.Time
	if half := p.Manager.Watchdog() / 2; half > 0 {
		ticker := time.NewTicker(half)
		defer ticker.Stop()
		alive = ticker.C
	}
	last := ""
	for {
		if now := p.status(); now != last && running.Err() == nil {
			p.tell(p.Manager.Status(now))
			last = now
		}
		select {
		case <-ctx.Done():
			return
		case <-alive:
			p.proveAlive(running)
		case <-status.C:
		case <-p.nudge:
		}
	}
}

// proveAlive tells the watchdog that the program is alive if those it cannot do
// without answer. A source that is slow or a plane that refuses is none of its
// business: a restart would mend neither.
func (p *program) proveAlive(running context.Context) {
	ctx, cancel := context.WithTimeout(running, p.Manager.Watchdog()/2)
	defer cancel()
	err := p.engine.Ping(ctx)
	if err == nil {
		err = p.tables.Ping(ctx)
	}
	if err != nil && running.Err() == nil {
		p.Log.Error("stuck: the watchdog is not told that all is well", "err", err)
		return
	}
	p.tell(p.Manager.Alive())
}

// status is the program in a line.
func (p *program) status() string {
	text := summary(p.board)
	if why := p.refused.Load(); why != nil {
		text += "; configuration not reloaded: " + *why
	}
	return text
}

// mostNamed is how many pools a summary names.
const mostNamed = 5

// summary counts the services and names those in what the status page calls trouble.
func summary(board *lbstatus.Board) string {
	pools := board.Pools()
	unheard := 0
	var troubled []string
	for _, pool := range pools {
		r, ok := board.Report(pool)
		switch {
		case !ok:
		case r.Source.Heard.IsZero() && r.Source.Error == "" && r.Error == "":
			unheard++
		case page.Troubled(r):
			troubled = append(troubled, pool)
		}
	}
	text := fmt.Sprintf("%d services", len(pools))
	if len(pools) == 1 {
		text = "1 service"
	}
	if unheard > 0 {
		text += fmt.Sprintf(", %d not heard of yet", unheard)
	}
	if n := len(troubled); n > 0 {
		more := ""
		if n > mostNamed {
			more = ", …"
		}
		text += fmt.Sprintf(", %d in trouble: %s%s", n, strings.Join(troubled[:min(n, mostNamed)], ", "), more)
	}
	return text
}
