package health

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-lb/sluice/internal/lb"
)

// desk is where all results come together. It belongs to Run's goroutine.
type desk struct {
	ctx      context.Context
	log      *slog.Logger
	dial     Dial
	ledger   *ledger
	slots    chan struct{}
	services map[string]*service
	watched  int // targets of all services
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
	weight  atomic.Int64
	stop    context.CancelFunc
	stopped bool
	verdict lb.Verdict

	// One of each per monitor.
	kinds    []string
	dampers  []damper
	results  []result
	accounts []*account
}

type key struct{ service, host string }

// finding is a result on its way from a check to the desk.
type finding struct {
	target *target
	index  int
	result result
}

func newDesk(ctx context.Context, log *slog.Logger, dial Dial, ledger *ledger) *desk {
	return &desk{
		ctx:      ctx,
		log:      log,
		dial:     dial,
		ledger:   ledger,
		slots:    make(chan struct{}, maxCommands),
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
		d.watched -= len(old.targets)
		d.release(old, next, t)
	}
	d.watched += len(t.servers)
	for host, s := range t.servers {
		if next.targets[host] == nil {
			next.targets[host] = d.start(key{name, host}, s, t.monitors)
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
		s, wanted := t.servers[host]
		if wanted && same && s.addr == target.addr {
			target.weight.Store(int64(s.weight))
			next.targets[host] = target
			continue
		}
		target.stop()
		target.stopped = true
		d.ledger.drop(target.key)
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
func (d *desk) start(k key, s server, monitors []monitor) *target {
	ctx, stop := context.WithCancel(d.ctx)
	t := &target{key: k, addr: s.addr, stop: stop, results: make([]result, len(monitors))}
	t.weight.Store(int64(s.weight))
	for _, m := range monitors {
		t.kinds = append(t.kinds, m.kind)
		t.dampers = append(t.dampers, damper{rise: m.rise, fall: m.fall})
	}
	if s.addr.IsValid() {
		t.verdict = combine(t.kinds, t.results)
		t.accounts = d.ledger.open(k, t.kinds)
		for i, m := range monitors {
			p := d.probe(ctx, t, i)
			d.running.Go(func() { m.check.run(ctx, p) })
		}
	} else {
		t.verdict = lb.Verdict{Reason: "name not resolved"}
	}
	d.out.put(k, t.verdict)
	return t
}

// First connections that have no interval to be spread over come at this pace
// over all servers, but no later than the longest.
const (
	spreadEach    = time.Millisecond
	spreadLongest = 3 * time.Second
)

// probe makes what the monitor with the given index works with.
func (d *desk) probe(ctx context.Context, t *target, index int) *probe {
	return &probe{
		service: t.key.service,
		host:    t.key.host,
		addr:    t.addr,
		weight:  &t.weight,
		dial:    d.dial,
		log:     d.log,
		spread:  min(time.Duration(d.watched)*spreadEach, spreadLongest),
		slots:   d.slots,
		account: t.accounts[index],
		tell: func(r result) {
			select {
			case d.findings <- finding{t, index, r}:
			case <-ctx.Done():
			}
		},
	}
}

// hear takes one result in. Those of stopped checks come too late.
func (d *desk) hear(f finding) {
	t := f.target
	if t.stopped {
		return
	}
	believed := t.dampers[f.index].take(f.result)
	t.accounts[f.index].heard(f.result, believed.state)
	t.results[f.index] = believed
	v := combine(t.kinds, t.results)
	if v == t.verdict {
		return
	}
	level := slog.LevelInfo
	switch {
	case v.State == t.verdict.State:
		level = slog.LevelDebug // only its reason is another one
	case v.State == lb.Down:
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
