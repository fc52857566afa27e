package lbd

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/sluice-lb/sluice/internal/balancer"
	"github.com/sluice-lb/sluice/internal/dataplane"
	"github.com/sluice-lb/sluice/internal/dataplane/ipvs"
	"github.com/sluice-lb/sluice/internal/dataplane/userspace"
	"github.com/sluice-lb/sluice/internal/lb"
)

// plane is a forwarding plane with what a balancer needs around it.
type plane struct {
	dataplane.Plane
	connections balancer.Connections // nil where the plane cannot count
	close       func() error
}

// openPlane opens the plane the configuration asks for. A virtual address the
// userspace plane cannot bind is told now, all of them at once, rather than
// service by service when the first pools arrive.
func openPlane(config *Config, log *slog.Logger, ops io.Writer) (plane, error) {
	switch config.Global.Plane {
	case PlaneUserspace:
		if err := userspace.Preflight(identities(config)); err != nil {
			return plane{}, err
		}
		p := userspace.New(log)
		return plane{Plane: p, connections: p.Connections, close: p.Close}, nil
	case PlaneDryRun:
		return plane{Plane: dataplane.NewDryRun(ops, nil), close: func() error { return nil }}, nil
	case PlaneIPVS:
		p, err := ipvs.New()
		if err != nil {
			return plane{}, err
		}
		return plane{Plane: p, close: p.Close}, nil
	}
	return plane{}, fmt.Errorf("no plane of kind %q", config.Global.Plane)
}

func identities(config *Config) []dataplane.ServiceID {
	ids := make([]dataplane.ServiceID, 0, len(config.Services))
	for _, svc := range config.Services {
		ids = append(ids, identity(svc))
	}
	return ids
}

func identity(svc lb.Service) dataplane.ServiceID {
	return dataplane.ServiceID{Protocol: dataplane.Protocol(svc.Protocol), VIP: svc.VIP}
}
