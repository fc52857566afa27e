package lbd

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// newRegistry returns a registry of its own with everything this program
// measures: the board's pools, the build, the process, and more.
func newRegistry(board *lbstatus.Board, version string, more ...prometheus.Collector) *prometheus.Registry {
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "lbd_build_info",
		Help:        "Always 1; the label tells the version.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	registry := prometheus.NewRegistry()
	registry.MustRegister(newBoardCollector(board), build, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registry.MustRegister(more...)
	return registry
}

// boardCollector computes metrics from the board at the moment of the scrape,
// so that no series outlives what it is about. The pybal_ names and their
// meaning are PyBal's.
type boardCollector struct {
	board   *lbstatus.Board
	pools   []poolMetric
	members []memberMetric
}

// poolMetric is one number per pool.
type poolMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(lbstatus.Report) float64
}

// memberMetric is one number per server of a pool.
type memberMetric struct {
	desc  *prometheus.Desc
	value func(lbstatus.Member) float64
}

func newBoardCollector(board *lbstatus.Board) *boardCollector {
	gauge := func(name, help string, value func(lbstatus.Report) float64) poolMetric {
		return poolMetric{prometheus.NewDesc(name, help, []string{"service"}, nil), prometheus.GaugeValue, value}
	}
	held := gauge("pybal_service_could_not_depool_total", "Times a server was held by the depool threshold.",
		func(r lbstatus.Report) float64 { return float64(r.CouldNotDepool) })
	held.kind = prometheus.CounterValue
	return &boardCollector{
		board: board,
		pools: []poolMetric{
			gauge("pybal_service_servers", "Servers in the pool.",
				func(r lbstatus.Report) float64 { return float64(len(r.Members)) }),
			gauge("pybal_service_servers_enabled", "Servers the operator wants in service.",
				count(func(m lbstatus.Member) bool { return m.Enabled })),
			gauge("pybal_service_servers_up", "Servers all of whose checks pass.",
				count(func(m lbstatus.Member) bool { return m.Up == lbstatus.UpYes })),
			gauge("pybal_service_servers_pooled", "Servers in the plane's table.",
				count(func(m lbstatus.Member) bool { return m.Pooled })),
			gauge("pybal_service_pooled_down_servers", "Servers in the plane's table although they are down.",
				count(func(m lbstatus.Member) bool { return m.Pooled && m.Up == lbstatus.UpNo })),
			gauge("pybal_service_can_depool", "1 if one more server may be taken out.",
				func(r lbstatus.Report) float64 { return oneIf(r.CanDepool) }),
			gauge("pybal_service_depool_threshold", "The share of servers that must stay, 0 to 1.",
				func(r lbstatus.Report) float64 { return r.Threshold }),
			held,
			gauge("lbd_seen_revision", "The store revision the picture of the pool is complete at.",
				func(r lbstatus.Report) float64 { return float64(r.Seen) }),
			gauge("lbd_applied_revision", "The store revision the plane's table is in force at.",
				func(r lbstatus.Report) float64 { return float64(r.Applied) }),
			gauge("lbd_source_age_seconds", "Time since the pool's source gave a sign of life; -1 if it never did.",
				func(r lbstatus.Report) float64 { return r.Source.Age }),
			gauge("lbd_source_stale", "1 if the pool's source is silent or in trouble.",
				func(r lbstatus.Report) float64 { return oneIf(r.Source.Stale) }),
			gauge("lbd_announced", "1 if routers are told about the service's address.",
				func(r lbstatus.Report) float64 { return oneIf(r.Announced) }),
		},
		members: []memberMetric{{
			prometheus.NewDesc("lbd_member_connections", "Open connections to the server through this balancer.",
				[]string{"service", "host"}, nil),
			func(m lbstatus.Member) float64 { return float64(m.Connections) },
		}},
	}
}

// Describe implements prometheus.Collector.
func (c *boardCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, m := range c.pools {
		descs <- m.desc
	}
	for _, m := range c.members {
		descs <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *boardCollector) Collect(metrics chan<- prometheus.Metric) {
	for _, pool := range c.board.Pools() {
		report, ok := c.board.Report(pool)
		if !ok {
			continue
		}
		for _, m := range c.pools {
			metrics <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(report), pool)
		}
		for _, member := range report.Members {
			host := strings.ToValidUTF8(member.Host, "\ufffd") // what a label may hold
			for _, m := range c.members {
				metrics <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, m.value(member), pool, host)
			}
		}
	}
}

// count returns how many members of a report have the property.
func count(has func(lbstatus.Member) bool) func(lbstatus.Report) float64 {
	return func(r lbstatus.Report) float64 {
		n := 0
		for _, m := range r.Members {
			if has(m) {
				n++
			}
		}
		return float64(n)
	}
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
