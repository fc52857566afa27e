package lbd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-lb/sluice/internal/balancer"
	"github.com/sluice-lb/sluice/internal/bgp"
	"github.com/sluice-lb/sluice/internal/dataplane"
	"github.com/sluice-lb/sluice/internal/health"
	"github.com/sluice-lb/sluice/internal/lb"
	"github.com/sluice-lb/sluice/internal/sdnotify"
	"github.com/sluice-lb/sluice/internal/source"
	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// Options are what a balancer runs with.
type Options struct {
	Config *Config
	Log    *slog.Logger
	// Ops is where the dry-run plane prints what it would do.
	Ops io.Writer
	// Ready, if set, is called once everything listens.
	Ready func()
	// Manager is told how the program is; nil is nobody.
	Manager *sdnotify.Manager
	// Reload asks, with a word why, to go on with what Read then returns; nil
	// means never.
	Reload <-chan string
	Read   func() (*Config, error)
}

// stopTimeout bounds an orderly stop, beside the time routers are given to move
// away.
const stopTimeout = 20 * time.Second

// Run runs a balancer until ctx ends. An error before that means it could not
// start, or that a part it cannot do without failed.
func Run(ctx context.Context, opts Options) error {
	p := &program{Options: opts, life: newLifecycle(opts.Log), nudge: make(chan struct{}, 1)}
	running, stopping := context.WithCancel(ctx)
	defer stopping()
	supervised, stopped := context.WithCancel(context.WithoutCancel(ctx))
	var supervisor sync.WaitGroup
	defer supervisor.Wait()
	defer stopped()

	err := p.start(ctx)
	if err == nil {
		opts.Log.Info("balancer is running", "name", opts.Config.Global.Name, "services", len(opts.Config.Services))
		if opts.Ready != nil {
			opts.Ready()
		}
		p.tell(p.Manager.Ready())
		if p.Manager != nil {
			supervisor.Go(func() { p.supervise(supervised, running) })
		}
		err = p.run(ctx)
	}
	stopping()
	return p.stop(err)
}

// run waits for the end and reloads until then.
func (p *program) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-p.life.failed:
			return err
		case why := <-p.Reload:
			p.reload(ctx, why)
		}
	}
}

// stop ends what was started and returns everything that went wrong, err too.
func (p *program) stop(err error) error {
	most := stopTimeout
	if routers := p.Config.Global.BGP; routers != nil {
		most += routers.DrainWait
	}
	p.Log.Info("stopping")
	p.tell(p.Manager.Stopping(most + stopMargin))
	if err != nil {
		p.tell(p.Manager.Status(explainPrivilege(err).Error()))
	}
	stopped := p.life.stop(most)
	if !errors.Is(stopped, err) { // a task's failure is among what it stops with
		stopped = errors.Join(err, stopped)
	}
	return explainPrivilege(stopped)
}

// program is one run of a balancer: the place where its rooms are wired.
type program struct {
	Options
	life    *lifecycle
	board   *lbstatus.Board
	engine  *balancer.Engine
	tables  *dataplane.Reconciler
	sources *source.Sources
	stale   atomic.Bool // the configuration in force is not the latest one
	// For supervise:
	refused atomic.Pointer[string] // why the latest one is not
	nudge   chan struct{}          // holds one: the status may be another one
	mute    sync.Once
}

// start brings the parts up in the order they depend on each other. What holds
// traffic comes first and so stops last; what announces it stops first.
func (p *program) start(ctx context.Context) error {
	services := p.Config.Services
	names := make([]string, len(services))
	for i, svc := range services {
		names[i] = svc.Name
	}
	p.tellIgnored()
	p.board = lbstatus.NewBoard(names...)
	speaker, err := p.speaker()
	if err != nil {
		return err
	}
	checks := health.New(p.Log)
	if err := p.serve(p.board, speaker, newMonitorCollector(checks.Tallies)); err != nil {
		return err
	}
	routers := newRouters(p.Config.Global.BGP, speaker, p.board)
	plane, err := openPlane(p.Config, p.Log, p.Ops)
	if err != nil {
		return err
	}
	p.life.onStop("plane", plane.close)
	p.tables = dataplane.NewReconciler(plane, p.Log)
	p.life.start("tables", p.tables.Run)
	p.life.start("checks", checks.Run)
	neighbours := balancer.Neighbours{
		Tables: p.tables, Checks: checks, Connections: plane.connections, Board: p.board, Log: p.Log,
	}
	if speaker != nil {
		neighbours.Routes = routers
	}
	p.engine = balancer.New(services, neighbours)
	p.life.start("engine", p.engine.Run)
	p.life.start("verdicts", func(ctx context.Context) error {
		return carry(ctx, checks, p.engine)
	})
	if err := p.follow(); err != nil {
		return err
	}
	if speaker == nil {
		return nil
	}
	p.life.start("routers", routers.run)
	p.life.start("bgp", speaker.Run)
	select {
	case <-speaker.Ready():
	case <-ctx.Done():
	case err := <-p.life.failed:
		return err
	}
	return nil
}

// tellIgnored logs the options nobody looks at, in one line: production's files
// have one in every section.
func (p *program) tellIgnored() {
	if ignored := p.Config.Ignored; len(ignored) > 0 {
		p.Log.Warn("options ignored", "count", len(ignored), "options", strings.Join(ignored, "; "))
	}
}

func (p *program) speaker() (*bgp.Speaker, error) {
	if p.Config.Global.BGP == nil {
		return nil, nil
	}
	speaker, err := bgp.New(*p.Config.Global.BGP, p.Log)
	if err != nil {
		return nil, fmt.Errorf("bgp: %w", err)
	}
	return speaker, nil
}

// carry hands verdicts to the engine.
func carry(ctx context.Context, checks *health.Runner, engine *balancer.Engine) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case v := <-checks.Verdicts():
			engine.Judge(ctx, balancer.Judgement{Service: v.Service, Host: v.Host, Verdict: v.Verdict})
		}
	}
}

// follow starts to hear the source of every service.
func (p *program) follow() error {
	hosts, err := readHosts(p.Config.Global.HostsFile)
	if err != nil {
		return err
	}
	roots, err := source.ReadRoots(p.Config.Global.SourceCA)
	if err != nil {
		return fmt.Errorf("source-ca: %w", err)
	}
	if err := p.Config.Global.Etcd.Check(); err != nil {
		return err
	}
	p.sources = source.New(p.Log, hosts, source.WithRoots(roots), source.WithAccess(p.Config.Global.Etcd), source.WithStateDir(p.Config.Global.StateDir))
	p.life.onStop("sources", p.sources.Close)
	for _, svc := range p.Config.Services {
		p.followOne(svc)
	}
	if !p.Config.Global.Registration.On {
		p.Log.Warn("not registered: operators' tools will not find this balancer by themselves")
		return nil
	}
	p.register()
	return nil
}

// register starts the task that makes the balancer known in the stores.
func (p *program) register() {
	global, services := p.Config.Global, p.Config.Services
	p.life.start(registration, func(ctx context.Context) error {
		return p.sources.Register(ctx, global.Name, global.StatusURLs(), services)
	})
}

// registration is the name of that task.
const registration = "registration"

// followOne starts the task that hears one service's source.
func (p *program) followOne(svc lb.Service) {
	p.life.start(sourceTask(svc), func(ctx context.Context) error {
		return p.sources.Follow(ctx, svc, func(h lb.Heard) { p.engine.Hear(ctx, h) })
	})
}

func sourceTask(svc lb.Service) string { return "source of " + svc.Name }

func readHosts(path string) (source.Hosts, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read hosts file: %w", err)
	}
	defer f.Close()
	hosts, err := source.ParseHosts(f)
	if err != nil {
		return nil, fmt.Errorf("read hosts file %s: %w", path, err)
	}
	return hosts, nil
}
