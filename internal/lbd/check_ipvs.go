package lbd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-lb/sluice/internal/dataplane"
	"github.com/sluice-lb/sluice/internal/dataplane/ipvs"
	"github.com/sluice-lb/sluice/internal/lb"
	"github.com/sluice-lb/sluice/internal/nagios"
	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// ipvsDiff compares once, and once more where that finds a difference: the
// balancer and the kernel are asked one after the other, and pools change.
func (c *check) ipvsDiff(ctx context.Context) nagios.Result {
	config, err := ReadConfig(c.config, nil)
	if err != nil {
		return nagios.CannotTell(err)
	}
	return twice(ctx, func() nagios.Result { return c.compare(ctx, config.Services) })
}

// lookAgain is how long a change may be under way.
const lookAgain = time.Second

// twice looks again, where time allows, before it believes in a difference.
func twice(ctx context.Context, look func() nagios.Result) nagios.Result {
	first := look()
	if first.Status != nagios.Critical {
		return first
	}
	select {
	case <-ctx.Done():
		return first
	case <-time.After(lookAgain):
	}
	second := look()
	if second.Status == nagios.Unknown && ctx.Err() != nil {
		return first
	}
	return second
}

func (c *check) compare(ctx context.Context, services []lb.Service) nagios.Result {
	reports, err := askReports(ctx, c.url, services)
	if err != nil {
		return nagios.CannotTell(err)
	}
	look := kernelTable
	if c.prometheus != "" {
		look = c.exportedTable
	}
	kernel, err := look(ctx)
	if err != nil {
		return nagios.CannotTell(err)
	}
	var known []nagios.Known
	for _, svc := range services {
		known = append(known, nagios.Known{Name: svc.Name, ID: identity(svc)})
	}
	return nagios.IPVSDiff(known, reports, kernel)
}

// askReports asks the balancer for its report on every service. One it does not
// know has none.
func askReports(ctx context.Context, base string, services []lb.Service) (map[string]lbstatus.Report, error) {
	base = strings.TrimSuffix(strings.TrimRight(base, "/"), "/pools")  // what PyBal's check is given
	client, err := lbstatus.New(base, lbstatus.WithTimeout(time.Hour)) // ctx ends it
	if err != nil {
		return nil, err
	}
	defer client.Close()
	reports := make(map[string]lbstatus.Report, len(services))
	for _, svc := range services {
		report, err := client.Report(ctx, svc.Name, 0, 0)
		var failure *lbstatus.Error
		switch {
		case err == nil:
			reports[svc.Name] = report
		case errors.As(err, &failure) && failure.Kind == lbstatus.BadStatus && failure.Status == http.StatusNotFound:
		default:
			return nil, err
		}
	}
	return reports, nil
}

// kernelTable reads the table of this machine's kernel.
func kernelTable(ctx context.Context) (nagios.Kernel, error) {
	plane, err := ipvs.New()
	if err != nil {
		return nagios.Kernel{}, err
	}
	defer plane.Close()
	table, err := plane.Read(ctx)
	return nagios.Kernel{Table: table}, err
}

// exportedTable makes a table of what a node_exporter says.
func (c *check) exportedTable(ctx context.Context) (nagios.Kernel, error) {
	families, err := metrics(ctx, c.prometheus)
	if err != nil {
		return nagios.Kernel{}, err
	}
	if families["node_ipvs_connections_total"] == nil && families["node_ipvs_backend_weight"] == nil {
		return nagios.Kernel{}, fmt.Errorf("get %s: no node_ipvs_ metrics in it", c.prometheus)
	}
	services := make(map[dataplane.ServiceID][]dataplane.Destination)
	for _, m := range families["node_ipvs_backend_weight"].GetMetric() {
		if labelOf(m, "local_mark") != "" {
			continue // no address and port: nothing a configuration could name
		}
		local, err := addrPort(labelOf(m, "local_address"), labelOf(m, "local_port"))
		if err != nil {
			return nagios.Kernel{}, fmt.Errorf("get %s: local address: %w", c.prometheus, err)
		}
		remote, err := addrPort(labelOf(m, "remote_address"), labelOf(m, "remote_port"))
		if err != nil {
			return nagios.Kernel{}, fmt.Errorf("get %s: remote address: %w", c.prometheus, err)
		}
		id := dataplane.ServiceID{Protocol: dataplane.Protocol(strings.ToLower(labelOf(m, "proto"))), VIP: local}
		services[id] = append(services[id], dataplane.Destination{Addr: remote, Weight: int(number(m))})
	}
	var list []dataplane.Service
	for id, destinations := range services {
		list = append(list, dataplane.Service{ID: id, Destinations: destinations})
	}
	return nagios.Kernel{Table: dataplane.NewTable(list...), Blind: true}, nil
}

func addrPort(addr, port string) (netip.AddrPort, error) {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is no port", port)
	}
	return netip.AddrPortFrom(ip, uint16(n)), nil
}
