package lbd

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-lb/sluice/internal/bgp"
)

func parseGlobal(s *section) Global {
	port, _ := s.integer("instrumentation_port", 9090, 0, 65535)
	hosts, _ := s.text("hosts-file")
	stateDir, _ := s.text("state-dir")
	sourceCA, _ := s.text("source-ca")
	name, _ := s.text("name")
	if strings.ContainsAny(name, "/ \t\n") {
		s.bad("name", "%q holds a slash or a blank", name)
	}
	loopback4, loopback6 := netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()
	g := Global{
		Name: name,
		Plane: Plane(s.choice("plane", string(PlaneIPVS),
			string(PlaneIPVS), string(PlaneUserspace), string(PlaneDryRun))),
		HostsFile:           hosts,
		ReloadOnChange:      s.boolean("reload-on-change", false),
		StateDir:            stateDir,
		SourceCA:            sourceCA,
		Etcd:                parseEtcd(s),
		BGP:                 parseBGP(s),
		Instrumentation:     s.boolean("instrumentation", false),
		InstrumentationPort: uint16(port),
		InstrumentationIPs:  s.listenAddresses("instrumentation_ips", loopback4, loopback6),
	}
	g.TLSCert, g.TLSKey = parseTLS(s)
	g.Registration = parseRegistration(s, g)
	return g
}

// parseTLS reads the two options that are one: neither is PyBal's.
func parseTLS(s *section) (cert, key string) {
	const certOption, keyOption = "instrumentation-tls-cert", "instrumentation-tls-key"
	cert, _ = s.text(certOption)
	key, _ = s.text(keyOption)
	switch {
	case cert != "" && key == "":
		s.bad(certOption, "needs %s", keyOption)
	case key != "" && cert == "":
		s.bad(keyOption, "needs %s", certOption)
	}
	return cert, key
}

// parseBGP reads the bgp-… options, and checks those that are there even
// where bgp is off, in which case it returns nil. bgp-router-id, bgp-peer-asn,
// bgp-peer-port and bgp-drain-wait are not PyBal's.
func parseBGP(s *section) *bgp.Config {
	on := s.boolean("bgp", false)
	asn, haveASN := s.integer("bgp-local-asn", 0, 1, maxUint32)
	port, _ := s.integer("bgp-local-port", 179, -1, 65535)
	wait, _ := s.integer("bgp-drain-wait", 2, 0, 300)
	config := &bgp.Config{
		LocalASN:    uint32(asn),
		RouterID:    s.address("bgp-router-id"),
		LocalPort:   int32(port),
		ListenAddrs: s.listenAddresses("bgp-local-ips", netip.IPv4Unspecified()),
		Peers:       parsePeers(s),
		ASPath:      parseASPath(s),
		NextHop4:    s.address("bgp-nexthop-ipv4"),
		NextHop6:    s.address("bgp-nexthop-ipv6"),
		DrainWait:   time.Duration(wait) * time.Second,
	}
	if !config.RouterID.IsValid() {
		config.RouterID = routerID(config)
	}
	checkFamilies(s, config)
	if !on {
		return nil
	}
	if !haveASN {
		s.bad("bgp-local-asn", "missing")
	}
	if len(config.Peers) == 0 {
		s.bad("bgp-peer-address", "names no peer")
	}
	if !config.RouterID.IsValid() {
		s.bad("bgp-router-id", "missing, and neither bgp-local-ips nor bgp-nexthop-ipv4 has an IPv4 address to use")
	}
	return config
}

// routerID picks the identifier PyBal's sessions would have in practice: an
// IPv4 address of our own.
func routerID(config *bgp.Config) netip.Addr {
	for _, a := range config.ListenAddrs {
		if a.Is4() && !a.IsUnspecified() {
			return a
		}
	}
	return config.NextHop4
}

func checkFamilies(s *section, config *bgp.Config) {
	if a := config.RouterID; a.IsValid() && !a.Is4() && s.used["bgp-router-id"] {
		s.bad("bgp-router-id", "%s is not IPv4", a)
	}
	if a := config.NextHop4; a.IsValid() && !a.Is4() {
		s.bad("bgp-nexthop-ipv4", "%s is not IPv4", a)
	}
	if a := config.NextHop6; a.IsValid() && !a.Is6() {
		s.bad("bgp-nexthop-ipv6", "%s is not IPv6", a)
	}
}

// parsePeers reads bgp-peer-address: a list where it begins with a bracket,
// and else one address.
func parsePeers(s *section) []bgp.Peer {
	const option = "bgp-peer-address"
	asn, _ := s.integer("bgp-peer-asn", 0, 0, maxUint32)
	port, _ := s.integer("bgp-peer-port", 179, 1, 65535)
	v, _ := s.text(option)
	addrs := []string{v}
	switch {
	case v == "":
		return nil
	case v[0] == '[':
		addrs = s.list(option)
	}
	var peers []bgp.Peer
	seen := make(map[netip.Addr]bool)
	for _, v := range addrs {
		a, ok := s.addr(option, v)
		if ok && seen[a] {
			s.bad(option, "%s is listed twice", a)
		}
		if ok {
			seen[a] = true
			peers = append(peers, bgp.Peer{Addr: a, ASN: uint32(asn), Port: uint16(port)})
		}
	}
	return peers
}

func parseASPath(s *section) []uint32 {
	v, _ := s.text("bgp-as-path")
	var path []uint32
	for _, field := range strings.Fields(v) {
		asn, err := strconv.ParseUint(field, 10, 32)
		if err != nil || asn == 0 {
			s.bad("bgp-as-path", "%q is not an AS number", field)
			return nil
		}
		path = append(path, uint32(asn))
	}
	return path
}

// checkNextHops demands a next hop for every family that is announced.
func checkNextHops(s *section, config *Config) {
	if config.Global.BGP == nil {
		return
	}
	need4, need6 := false, false
	for _, service := range config.Services {
		if service.Announce {
			need4 = need4 || service.VIP.Addr().Is4()
			need6 = need6 || service.VIP.Addr().Is6()
		}
	}
	if need4 && !config.Global.BGP.NextHop4.IsValid() {
		s.bad("bgp-nexthop-ipv4", "missing, but IPv4 services are announced")
	}
	if need6 && !config.Global.BGP.NextHop6.IsValid() {
		s.bad("bgp-nexthop-ipv6", "missing, but IPv6 services are announced")
	}
}
