package lbd

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sluice-lb/sluice/internal/bgp"
	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

func webReport() lbstatus.Report {
	return lbstatus.Report{
		Pool: "web_80", VIP: "tcp 192.0.2.1:80", Seen: 42, Applied: 41, Announced: true,
		Threshold: 0.5, CanDepool: true, CouldNotDepool: 3,
		Source: lbstatus.SourceStatus{URL: "etcd://h/k", Heard: time.Now()},
		Members: []lbstatus.Member{
			{Host: "cp1.example", Address: "192.0.2.11:80", Weight: 10, Enabled: true, Up: lbstatus.UpYes, Pooled: true, Reason: "up", Connections: 7},
			{Host: "cp2.example", Address: "192.0.2.12:80", Weight: 10, Enabled: true, Up: lbstatus.UpNo, Pooled: true, Held: true,
				Health: "connection refused", Reason: "held by threshold", Connections: 1},
			{Host: "cp3.example", Enabled: true, Up: lbstatus.UpUnknown, Reason: "name not resolved"},
			{Host: "cp4.example", Address: "192.0.2.14:80", Up: lbstatus.UpNo, Reason: "disabled"},
		},
	}
}

const wantMetrics = `
# HELP lbd_announced 1 if routers are told about the service's address.
# TYPE lbd_announced gauge
lbd_announced{service="unheard"} 0
lbd_announced{service="web_80"} 1
# HELP lbd_applied_revision The store revision the plane's table is in force at.
# TYPE lbd_applied_revision gauge
lbd_applied_revision{service="unheard"} 0
lbd_applied_revision{service="web_80"} 41
# HELP lbd_build_info Always 1; the label tells the version.
# TYPE lbd_build_info gauge
lbd_build_info{version="1.2.3"} 1
# HELP lbd_member_connections Open connections to the server through this balancer.
# TYPE lbd_member_connections gauge
lbd_member_connections{host="cp1.example",service="web_80"} 7
lbd_member_connections{host="cp2.example",service="web_80"} 1
lbd_member_connections{host="cp3.example",service="web_80"} 0
lbd_member_connections{host="cp4.example",service="web_80"} 0
# HELP lbd_seen_revision The store revision the picture of the pool is complete at.
# TYPE lbd_seen_revision gauge
lbd_seen_revision{service="unheard"} 0
lbd_seen_revision{service="web_80"} 42
# HELP lbd_source_age_seconds Time since the pool's source gave a sign of life; -1 if it never did.
# TYPE lbd_source_age_seconds gauge
lbd_source_age_seconds{service="unheard"} -1
lbd_source_age_seconds{service="web_80"} 6
# HELP lbd_source_stale 1 if the pool's source is silent or in trouble.
# TYPE lbd_source_stale gauge
lbd_source_stale{service="unheard"} 1
lbd_source_stale{service="web_80"} 1
# HELP pybal_service_can_depool 1 if one more server may be taken out.
# TYPE pybal_service_can_depool gauge
pybal_service_can_depool{service="unheard"} 0
pybal_service_can_depool{service="web_80"} 1
# HELP pybal_service_could_not_depool_total Times a server was held by the depool threshold.
# TYPE pybal_service_could_not_depool_total counter
pybal_service_could_not_depool_total{service="unheard"} 0
pybal_service_could_not_depool_total{service="web_80"} 3
# HELP pybal_service_depool_threshold The share of servers that must stay, 0 to 1.
# TYPE pybal_service_depool_threshold gauge
pybal_service_depool_threshold{service="unheard"} 0
pybal_service_depool_threshold{service="web_80"} 0.5
# HELP pybal_service_pooled_down_servers Servers in the plane's table although they are down.
# TYPE pybal_service_pooled_down_servers gauge
pybal_service_pooled_down_servers{service="unheard"} 0
pybal_service_pooled_down_servers{service="web_80"} 1
# HELP pybal_service_servers Servers in the pool.
# TYPE pybal_service_servers gauge
pybal_service_servers{service="unheard"} 0
pybal_service_servers{service="web_80"} 4
# HELP pybal_service_servers_enabled Servers the operator wants in service.
# TYPE pybal_service_servers_enabled gauge
pybal_service_servers_enabled{service="unheard"} 0
pybal_service_servers_enabled{service="web_80"} 3
# HELP pybal_service_servers_pooled Servers in the plane's table.
# TYPE pybal_service_servers_pooled gauge
pybal_service_servers_pooled{service="unheard"} 0
pybal_service_servers_pooled{service="web_80"} 2
# HELP pybal_service_servers_up Servers all of whose checks pass.
# TYPE pybal_service_servers_up gauge
pybal_service_servers_up{service="unheard"} 0
pybal_service_servers_up{service="web_80"} 1
`

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		board := lbstatus.NewBoard("web_80", "unheard")
		board.Publish(webReport())
		time.Sleep(6 * time.Second) // of the bubble's clock: the source goes stale
		registry := newRegistry(board, "1.2.3")
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range families {
			if strings.HasPrefix(f.GetName(), "lbd_") || strings.HasPrefix(f.GetName(), "pybal_") {
				names = append(names, f.GetName())
			}
		}
		if err := testutil.GatherAndCompare(registry, strings.NewReader(wantMetrics), names...); err != nil {
			t.Error(err)
		}
		problems, err := testutil.GatherAndLint(registry)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	})
}

func TestMetricsForgetRemovedServers(t *testing.T) {
	board := lbstatus.NewBoard("web_80")
	r := webReport()
	board.Publish(r)
	registry := newRegistry(board, "dev")
	for _, want := range []int{4, 1, 0} {
		r.Members = r.Members[:want]
		board.Publish(r)
		got, err := testutil.GatherAndCount(registry, "lbd_member_connections")
		if err != nil || got != want {
			t.Errorf("%d series (%v), want %d", got, err, want)
		}
	}
}

func TestBGPMetrics(t *testing.T) {
	sessions := func() []bgp.PeerState {
		return []bgp.PeerState{
			{Peer: bgp.Peer{Addr: netip.MustParseAddr("192.0.2.254")}, Session: "established"},
			{Peer: bgp.Peer{Addr: netip.MustParseAddr("2001:db8::1")}, Session: "active"},
		}
	}
	const header = "# HELP pybal_bgp_enabled 1 if BGP is configured.\n# TYPE pybal_bgp_enabled gauge\n"
	tests := []struct {
		config *bgp.Config
		want   string
	}{
		{nil, header + "pybal_bgp_enabled 0\n"},
		{&bgp.Config{LocalASN: 64600, RouterID: netip.MustParseAddr("192.0.2.1")}, header + `pybal_bgp_enabled 1
# HELP pybal_bgp_session_established 1 if the session with the peer is established.
# TYPE pybal_bgp_session_established gauge
pybal_bgp_session_established{local_asn="64600",peer="192.0.2.254"} 1
pybal_bgp_session_established{local_asn="64600",peer="2001:db8::1"} 0
# HELP pybal_bgp_session_state_count Sessions with the peer that are in the state, 0 or 1.
# TYPE pybal_bgp_session_state_count gauge
` + sessionState("192.0.2.254", "ESTABLISHED") + sessionState("2001:db8::1", "ACTIVE")},
	}
	for _, tt := range tests {
		registry := newRegistry(lbstatus.NewBoard(), "dev", newBGPCollector(tt.config, sessions))
		if err := testutil.GatherAndCompare(registry, strings.NewReader(tt.want), "pybal_bgp_enabled", "pybal_bgp_session_established", "pybal_bgp_session_state_count"); err != nil {
			t.Error(err)
		}
	}
}

// sessionState are the lines of a peer whose session is in one of the states.
func sessionState(peer, in string) (lines string) {
	for _, state := range []string{"ACTIVE", "CONNECT", "ESTABLISHED", "IDLE", "OPENCONFIRM", "OPENSENT"} {
		lines += fmt.Sprintf("pybal_bgp_session_state_count{local_asn=\"64600\",local_ip=\"192.0.2.1\",remote_ip=%q,side=\"active\",state=%q} %d\n",
			peer, state, map[bool]int{true: 1}[state == in])
	}
	return lines
}

func TestMetricsSurviveOddHostNames(t *testing.T) {
	board := lbstatus.NewBoard("web_80")
	board.Publish(lbstatus.Report{Pool: "web_80", Members: []lbstatus.Member{{Host: "a\xff\n\""}}})
	if n, err := testutil.GatherAndCount(newRegistry(board, "dev"), "lbd_member_connections"); err != nil || n != 1 {
		t.Errorf("%d series, %v", n, err)
	}
}
