package lbd

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-lb/sluice/internal/dataplane"
	"github.com/sluice-lb/sluice/internal/dataplane/userspace"
	"github.com/sluice-lb/sluice/internal/lb"
)

// reload goes on with another configuration: services that stay as they are
// keep their connections, checks and history. One that cannot be used changes
// nothing; that the one in force is then not the latest is told by a metric.
func (p *program) reload(ctx context.Context, why string) {
	p.Log.Info("reloading configuration", "why", why)
	p.tell(p.Manager.Reloading())
	config, err := p.Read()
	if err == nil {
		err = p.acceptable(config)
	}
	if err == nil {
		p.goOnWith(ctx, config)
		p.refused.Store(nil)
		p.board.Warn("")
	} else {
		lines := oneByOne(explainPrivilege(err))
		for _, line := range lines {
			p.Log.Error("configuration not reloaded", "err", line)
		}
		first := lines[0].Error()
		p.refused.Store(&first)
		p.board.Warn("The configuration was not reloaded: " + first)
	}
	p.stale.Store(err != nil)
	p.tell(p.Manager.Ready())
	select {
	case p.nudge <- struct{}{}:
	default:
	}
}

// goOnWith puts an acceptable configuration in force.
func (p *program) goOnWith(ctx context.Context, config *Config) {
	old := p.Config
	p.Config = config
	if !slices.Equal(old.Ignored, p.Config.Ignored) {
		p.tellIgnored()
	}
	for _, svc := range old.Services {
		if now, ok := serviceNamed(config, svc.Name); !ok || !sameSource(svc, now) {
			p.life.end(sourceTask(svc))
		}
	}
	p.engine.Declare(ctx, config.Services)
	for _, svc := range config.Services {
		if was, ok := serviceNamed(old, svc.Name); !ok || !sameSource(was, svc) {
			p.followOne(svc)
		}
	}
	if p.Config.Global.Registration.On && !slices.EqualFunc(old.Services, config.Services, samePool) {
		p.life.end(registration)
		p.register()
	}
	p.Log.Info("configuration reloaded", "services", len(config.Services))
}

// acceptable tells whether a running balancer can go on with the configuration.
// [global] is for the start: who we are, where we listen, what we drive.
func (p *program) acceptable(config *Config) error {
	if !reflect.DeepEqual(config.Global, p.Config.Global) {
		return fmt.Errorf("[global] differs, which takes a restart")
	}
	if config.Global.Plane != PlaneUserspace {
		return nil
	}
	had := identities(p.Config)
	return userspace.Preflight(slices.DeleteFunc(identities(config), func(id dataplane.ServiceID) bool {
		return slices.Contains(had, id)
	}))
}

// sameSource tells whether what follows the one service's source serves the
// other as well: names are resolved in the family of the address.
func sameSource(a, b lb.Service) bool {
	return a.Source == b.Source && a.VIP.Addr().Is6() == b.VIP.Addr().Is6()
}

// samePool tells whether the two are one pool to whoever looks us up.
func samePool(a, b lb.Service) bool { return a.Name == b.Name && a.Source == b.Source }

func serviceNamed(config *Config, name string) (lb.Service, bool) {
	i := slices.IndexFunc(config.Services, func(s lb.Service) bool { return s.Name == name })
	if i < 0 {
		return lb.Service{}, false
	}
	return config.Services[i], true
}

func (p *program) configStale() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "lbd_config_stale",
		Help: "1 if the latest configuration could not be used and an older one is in force.",
	}, func() float64 { return oneIf(p.stale.Load()) })
}
