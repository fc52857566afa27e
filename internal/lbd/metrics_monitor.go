package lbd

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-lb/sluice/internal/health"
	"github.com/sluice-lb/sluice/internal/lb"
)

// monitorCollector computes PyBal's monitor metrics from the tallies of the
// checks at the moment of the scrape.
type monitorCollector struct {
	tallies  func() []health.Tally
	status   *prometheus.Desc
	counters []tallyCounter
	lasted   map[string]durationMetric // by monitor
	broken   []reasonCounter
}

// tallyCounter is one number per monitor of a server.
type tallyCounter struct {
	desc  *prometheus.Desc
	value func(health.Tally) uint64
}

// durationMetric is how long the latest look of each sort took.
type durationMetric struct {
	desc   *prometheus.Desc
	labels func(health.Look) []string // beside the result
}

// reasonCounter counts connections by reason.
type reasonCounter struct {
	desc   *prometheus.Desc
	counts func(health.Tally) map[string]uint64
}

func newMonitorCollector(tallies func() []health.Tally) *monitorCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("pybal_monitor_"+name, help, append([]string{"service", "host", "monitor"}, labels...), nil)
	}
	return &monitorCollector{
		tallies: tallies,
		status:  desc("status", "1 if the check passes, 0 if not; absent while that is unknown."),
		counters: []tallyCounter{
			{desc("up_results_total", "Checks that passed."), func(t health.Tally) uint64 { return t.Ups }},
			{desc("down_results_total", "Checks that failed."), func(t health.Tally) uint64 { return t.Downs }},
			{desc("up_transitions_total", "Times the check began to pass."), func(t health.Tally) uint64 { return t.Rises }},
			{desc("down_transitions_total", "Times the check began to fail."), func(t health.Tally) uint64 { return t.Falls }},
		},
		lasted: map[string]durationMetric{
			"ProxyFetch": {
				desc("proxyfetch_request_duration_seconds", "How long the latest request took.", "result", "url"),
				func(l health.Look) []string { return []string{label(l.URL)} },
			},
			"DNSQuery": {
				desc("dnsquery_request_duration_seconds", "How long the latest query took.", "result"),
				func(health.Look) []string { return nil },
			},
			"RunCommand": {
				desc("runcommand_run_duration_seconds", "How long the latest run took.", "result", "exitcode"),
				func(l health.Look) []string { return []string{l.Exit} },
			},
		},
		broken: []reasonCounter{
			{
				desc("idleconnection_connections_failed_total", "Connections that did not open.", "reason"),
				func(t health.Tally) map[string]uint64 { return t.Failed },
			},
			{
				desc("idleconnection_connections_lost_total", "Connections that ended.", "reason"),
				func(t health.Tally) map[string]uint64 { return t.Lost },
			},
		},
	}
}

// Describe implements prometheus.Collector.
func (c *monitorCollector) Describe(descs chan<- *prometheus.Desc) {
	descs <- c.status
	for _, m := range c.counters {
		descs <- m.desc
	}
	for _, m := range c.lasted {
		descs <- m.desc
	}
	for _, m := range c.broken {
		descs <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *monitorCollector) Collect(metrics chan<- prometheus.Metric) {
	for _, t := range c.tallies() {
		who := []string{t.Service, label(t.Host), t.Monitor}
		if t.State != lb.Unknown {
			metrics <- prometheus.MustNewConstMetric(c.status, prometheus.GaugeValue, oneIf(t.State == lb.Up), who...)
		}
		for _, m := range c.counters {
			metrics <- prometheus.MustNewConstMetric(m.desc, prometheus.CounterValue, float64(m.value(t)), who...)
		}
		c.collectLooks(metrics, t, who)
		for _, m := range c.broken {
			for reason, n := range m.counts(t) {
				metrics <- prometheus.MustNewConstMetric(m.desc, prometheus.CounterValue, float64(n), with(who, reason)...)
			}
		}
	}
}

func (c *monitorCollector) collectLooks(metrics chan<- prometheus.Metric, t health.Tally, who []string) {
	m, ok := c.lasted[t.Monitor]
	if !ok {
		return
	}
	for look, took := range t.Took {
		outcome := "failed"
		if look.OK {
			outcome = "successful"
		}
		metrics <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, took.Seconds(),
			with(who, append([]string{outcome}, m.labels(look)...)...)...)
	}
}

// with returns a new slice of who and more.
func with(who []string, more ...string) []string {
	return append(who[:len(who):len(who)], more...)
}

// label makes text fit to be a label's value.
func label(text string) string { return strings.ToValidUTF8(text, "\ufffd") }
