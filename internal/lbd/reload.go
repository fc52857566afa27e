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
func (p *program) reload(ctx context.Context, r Reloading) {
	err := r.Err
	if err == nil {
		err = p.acceptable(r.Config)
	}
	if err != nil {
		p.stale.Store(true)
		for _, line := range oneByOne(err) {
			p.Log.Error("configuration not reloaded", "err", line)
		}
		return
	}
	old := p.Config
	p.Config = r.Config
	if !slices.Equal(old.Ignored, p.Config.Ignored) {
		p.tellIgnored()
	}
	for _, svc := range old.Services {
		if now, ok := serviceNamed(r.Config, svc.Name); !ok || !sameSource(svc, now) {
			p.life.end(sourceTask(svc))
		}
	}
	p.engine.Declare(ctx, r.Config.Services)
	for _, svc := range r.Config.Services {
		if was, ok := serviceNamed(old, svc.Name); !ok || !sameSource(was, svc) {
			p.followOne(svc)
		}
	}
	if p.Config.Global.Registration.On && !slices.EqualFunc(old.Services, r.Config.Services, samePool) {
		p.life.end(registration)
		p.register()
	}
	p.stale.Store(false)
	p.Log.Info("configuration reloaded", "services", len(r.Config.Services))
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
