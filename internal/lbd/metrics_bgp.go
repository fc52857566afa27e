package lbd

import (
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-lb/sluice/internal/bgp"
)

// bgpCollector computes PyBal's BGP metrics at the moment of the scrape.
type bgpCollector struct {
	config      *bgp.Config // nil where BGP is off
	peers       func() []bgp.PeerState
	enabled     *prometheus.Desc
	established *prometheus.Desc
	states      *prometheus.Desc
}

// newBGPCollector reads the sessions from peers, which is not called if config
// is nil.
func newBGPCollector(config *bgp.Config, peers func() []bgp.PeerState) *bgpCollector {
	return &bgpCollector{
		config:  config,
		peers:   peers,
		enabled: prometheus.NewDesc("pybal_bgp_enabled", "1 if BGP is configured.", nil, nil),
		established: prometheus.NewDesc("pybal_bgp_session_established", "1 if the session with the peer is established.",
			[]string{"local_asn", "peer"}, nil),
		states: prometheus.NewDesc("pybal_bgp_session_state_count", "Sessions with the peer that are in the state, 0 or 1.",
			[]string{"local_asn", "local_ip", "remote_ip", "side", "state"}, nil),
	}
}

// sessionStates are the states of RFC 4271's machine, in PyBal's letters.
func sessionStates() []string {
	return []string{"IDLE", "CONNECT", "ACTIVE", "OPENSENT", "OPENCONFIRM", "ESTABLISHED"}
}

// Describe implements prometheus.Collector.
func (c *bgpCollector) Describe(descs chan<- *prometheus.Desc) {
	descs <- c.enabled
	descs <- c.established
	descs <- c.states
}

// Collect implements prometheus.Collector.
func (c *bgpCollector) Collect(metrics chan<- prometheus.Metric) {
	metrics <- prometheus.MustNewConstMetric(c.enabled, prometheus.GaugeValue, oneIf(c.config != nil))
	if c.config == nil {
		return
	}
	asn := strconv.FormatUint(uint64(c.config.LocalASN), 10)
	for _, p := range c.peers() {
		metrics <- prometheus.MustNewConstMetric(c.established, prometheus.GaugeValue, oneIf(p.Established()), asn, p.Addr.String())
		for _, state := range sessionStates() {
			// PyBal has a machine for each side. Here it is one, and it calls.
			metrics <- prometheus.MustNewConstMetric(c.states, prometheus.GaugeValue, oneIf(strings.EqualFold(state, p.Session)),
				asn, c.config.RouterID.String(), p.Addr.String(), "active", state)
		}
	}
}
