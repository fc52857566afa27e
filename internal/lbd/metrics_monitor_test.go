package lbd

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sluice-lb/sluice/internal/health"
	"github.com/sluice-lb/sluice/internal/lb"
	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

const wantMonitorMetrics = `
# HELP pybal_monitor_dnsquery_request_duration_seconds How long the latest query took.
# TYPE pybal_monitor_dnsquery_request_duration_seconds gauge
pybal_monitor_dnsquery_request_duration_seconds{host="ns1",monitor="DNSQuery",result="failed",service="dns_53"} 5
# HELP pybal_monitor_down_results_total Checks that failed.
# TYPE pybal_monitor_down_results_total counter
pybal_monitor_down_results_total{host="cp1",monitor="IdleConnection",service="web_80"} 0
pybal_monitor_down_results_total{host="cp1",monitor="ProxyFetch",service="web_80"} 2
pybal_monitor_down_results_total{host="cp1",monitor="RunCommand",service="web_80"} 0
pybal_monitor_down_results_total{host="ns1",monitor="DNSQuery",service="dns_53"} 0
# HELP pybal_monitor_down_transitions_total Times the check began to fail.
# TYPE pybal_monitor_down_transitions_total counter
pybal_monitor_down_transitions_total{host="cp1",monitor="IdleConnection",service="web_80"} 0
pybal_monitor_down_transitions_total{host="cp1",monitor="ProxyFetch",service="web_80"} 4
pybal_monitor_down_transitions_total{host="cp1",monitor="RunCommand",service="web_80"} 0
pybal_monitor_down_transitions_total{host="ns1",monitor="DNSQuery",service="dns_53"} 0
# HELP pybal_monitor_idleconnection_connections_failed_total Connections that did not open.
# TYPE pybal_monitor_idleconnection_connections_failed_total counter
pybal_monitor_idleconnection_connections_failed_total{host="cp1",monitor="IdleConnection",reason="ConnectionRefusedError",service="web_80"} 6
pybal_monitor_idleconnection_connections_failed_total{host="cp1",monitor="IdleConnection",reason="TimeoutError",service="web_80"} 1
# HELP pybal_monitor_idleconnection_connections_lost_total Connections that ended.
# TYPE pybal_monitor_idleconnection_connections_lost_total counter
pybal_monitor_idleconnection_connections_lost_total{host="cp1",monitor="IdleConnection",reason="ConnectionLost",service="web_80"} 7
# HELP pybal_monitor_proxyfetch_request_duration_seconds How long the latest request took.
# TYPE pybal_monitor_proxyfetch_request_duration_seconds gauge
pybal_monitor_proxyfetch_request_duration_seconds{host="cp1",monitor="ProxyFetch",result="failed",service="web_80",url="http://a/"} 2
pybal_monitor_proxyfetch_request_duration_seconds{host="cp1",monitor="ProxyFetch",result="successful",service="web_80",url="http://a/"} 0.5
# HELP pybal_monitor_runcommand_run_duration_seconds How long the latest run took.
# TYPE pybal_monitor_runcommand_run_duration_seconds gauge
pybal_monitor_runcommand_run_duration_seconds{exitcode="0",host="cp1",monitor="RunCommand",result="successful",service="web_80"} 1
pybal_monitor_runcommand_run_duration_seconds{exitcode="None",host="cp1",monitor="RunCommand",result="failed",service="web_80"} 20
# HELP pybal_monitor_status 1 if the check passes, 0 if not; absent while that is unknown.
# TYPE pybal_monitor_status gauge
pybal_monitor_status{host="cp1",monitor="IdleConnection",service="web_80"} 0
pybal_monitor_status{host="cp1",monitor="ProxyFetch",service="web_80"} 1
# HELP pybal_monitor_up_results_total Checks that passed.
# TYPE pybal_monitor_up_results_total counter
pybal_monitor_up_results_total{host="cp1",monitor="IdleConnection",service="web_80"} 0
pybal_monitor_up_results_total{host="cp1",monitor="ProxyFetch",service="web_80"} 1
pybal_monitor_up_results_total{host="cp1",monitor="RunCommand",service="web_80"} 0
pybal_monitor_up_results_total{host="ns1",monitor="DNSQuery",service="dns_53"} 0
# HELP pybal_monitor_up_transitions_total Times the check began to pass.
# TYPE pybal_monitor_up_transitions_total counter
pybal_monitor_up_transitions_total{host="cp1",monitor="IdleConnection",service="web_80"} 0
pybal_monitor_up_transitions_total{host="cp1",monitor="ProxyFetch",service="web_80"} 3
pybal_monitor_up_transitions_total{host="cp1",monitor="RunCommand",service="web_80"} 0
pybal_monitor_up_transitions_total{host="ns1",monitor="DNSQuery",service="dns_53"} 0
`

func TestMonitorMetrics(t *testing.T) {
	tallies := []health.Tally{
		{Service: "web_80", Host: "cp1", Monitor: "ProxyFetch", State: lb.Up, Ups: 1, Downs: 2, Rises: 3, Falls: 4, Took: map[health.Look]time.Duration{
			{OK: true, URL: "http://a/"}: time.Second / 2,
			{URL: "http://a/"}:           2 * time.Second,
		}},
		{Service: "web_80", Host: "cp1", Monitor: "IdleConnection", State: lb.Down,
			Failed: map[string]uint64{"ConnectionRefusedError": 6, "TimeoutError": 1}, Lost: map[string]uint64{"ConnectionLost": 7}},
		{Service: "web_80", Host: "cp1", Monitor: "RunCommand", Took: map[health.Look]time.Duration{
			{OK: true, Exit: "0"}: time.Second,
			{Exit: "None"}:        20 * time.Second,
		}},
		{Service: "dns_53", Host: "ns1", Monitor: "DNSQuery", Took: map[health.Look]time.Duration{{}: 5 * time.Second}},
	}
	registry := newRegistry(lbstatus.NewBoard(), "dev", newMonitorCollector(func() []health.Tally { return tallies }))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "pybal_monitor_") {
			names = append(names, f.GetName())
		}
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(wantMonitorMetrics), names...); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(registry, names...); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
	tallies = nil // all servers gone
	if n, err := testutil.GatherAndCount(registry, names...); err != nil || n != 0 {
		t.Errorf("%d series outlive their servers (%v)", n, err)
	}
}
