package health

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/sluice-lb/sluice/internal/lb"
)

// desk is where all results come together. It belongs to Run's goroutine.
type desk struct {
	ctx      context.Context
	log      *slog.Logger
	dial     Dial
	services map[string]*service
	findings chan finding
	out      outbox
	running  sync.WaitGroup
}

// service is one service under watch.
type service struct {
	declared []lb.Monitor
	targets  map[string]*target
}

// target is one server of one service under watch.
type target struct {
	key     key
	addr    netip.AddrPort
	stop    context.CancelFunc
	stopped bool
	kinds   []string
	results []result // one per monitor
	verdict lb.Verdict
}

type key struct{ service, host string }

// finding is a result on its way from a check to the desk.
type finding struct {
	target *target
	index  int
	result result
}

func newDesk(ctx context.Context, log *slog.Logger, dial Dial) *desk {
	return &desk{
		ctx:      ctx,
		log:      log,
		dial:     dial,
		services: map[string]*service{},
		findings: make(chan finding, 64),
		out:      outbox{slots: map[key]*slot{}},
	}
}

// assign brings what is watched for one service to what t wants; nil wants
// nothing.
func (d *desk) assign(name string, t *task) {
	old := d.services[name]
	if t == nil {
		t = &task{}
	}
	next := &service{declared: t.declared, targets: make(map[string]*target, len(t.servers))}
	if old != nil {
		d.release(old, next, t)
	}
	for host, to := range t.servers {
		if next.targets[host] == nil {
			next.targets[host] = d.start(key{name, host}, to, t.monitors)
		}
	}
	if len(next.targets) > 0 {
		d.services[name] = next
	} else {
		delete(d.services, name)
	}
}

// release hands the targets of old that t leaves as they are on to next, and
// stops the others.
func (d *desk) release(old, next *service, t *task) {
	same := equal(old.declared, t.declared)
	for host, target := range old.targets {
		to, wanted := t.servers[host]
		if wanted && same && to == target.addr {
			next.targets[host] = target
			continue
		}
		target.stop()
		target.stopped = true
		if !wanted {
			d.out.put(target.key, lb.Verdict{})
		}
	}
}

func equal(a, b []lb.Monitor) bool {
	return slices.EqualFunc(a, b, func(a, b lb.Monitor) bool {
		return a.Kind == b.Kind && maps.EqualFunc(a.Options, b.Options, slices.Equal[[]string])
	})
}

// start begins to watch one server, each monitor in a goroutine of its own.
func (d *desk) start(k key, to netip.AddrPort, monitors []monitor) *target {
	ctx, stop := context.WithCancel(d.ctx)
	t := &target{key: k, addr: to, stop: stop, results: make([]result, len(monitors))}
	for _, m := range monitors {
		t.kinds = append(t.kinds, m.kind)
	}
	if !to.IsValid() {
		t.verdict = lb.Verdict{Reason: "name not resolved"}
	} else {
		t.verdict = combine(t.kinds, t.results)
		for i, m := range monitors {
			d.running.Go(func() {
				m.check.run(ctx, to, d.dial, func(r result) {
					select {
					case d.findings <- finding{t, i, r}:
					case <-ctx.Done():
					}
				})
			})
		}
	}
	d.out.put(k, t.verdict)
	return t
}

// hear takes one result in. Those of stopped checks come too late.
func (d *desk) hear(f finding) {
	t := f.target
	if t.stopped {
		return
	}
	t.results[f.index] = f.result
	v := combine(t.kinds, t.results)
	if v == t.verdict {
		return
	}
	level := slog.LevelInfo
	if v.State == lb.Down {
		level = slog.LevelWarn
	}
	d.log.Log(d.ctx, level, "verdict changed", "service", t.key.service, "host", t.key.host,
		"was", t.verdict.State, "is", v.State, "reason", v.Reason)
	t.verdict = v
	d.out.put(t.key, v)
}

// combine makes one verdict of the results of all monitors of a server: down
// if any is down, else unknown if any is unknown, else up. The reason is that
// of the first monitor in this state. No monitors: up.
func combine(kinds []string, results []result) lb.Verdict {
	v := lb.Verdict{State: lb.Up}
	someUp := false
	for i, r := range results {
		someUp = someUp || r.state == lb.Up
		if badness(r.state) <= badness(v.State) {
			continue
		}
		v.State, v.Reason = r.state, ""
		if r.reason != "" {
			v.Reason = kinds[i] + ": " + r.reason
		}
	}
	v.Partial = someUp && v.State != lb.Up
	return v
}

func badness(s lb.State) int {
	switch s {
	case lb.Up:
		return 0
	case lb.Unknown:
		return 1
	}
	return 2
}
