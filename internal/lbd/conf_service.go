package lbd

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-lb/sluice/internal/lb"
	"github.com/sluice-lb/sluice/internal/source"
)

// serviceDefaults is what [global] says about services.
type serviceDefaults struct {
	admin    lb.AdminDepool
	announce bool // BGP is on
	med      int64
}

// schedulers returns PyBal's ten, and those newer kernels have.
func schedulers() []string {
	return []string{"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "mh", "fo", "ovf"}
}

// parseService reads one section as a service. It returns false where there
// is too little to compare it with others.
func parseService(s *section, defaults serviceDefaults) (lb.Service, bool) {
	vip, ok := parseVIP(s)
	med, _ := s.integer("bgp-med", defaults.med, 0, maxUint32)
	low, _ := s.integer("low-watermark", 0, 0, 10_000)
	slow, _ := s.integer("slow-start", 0, 0, 3600)
	service := lb.Service{
		Name:      s.name,
		VIP:       vip,
		OnePacket: s.boolean("ops", false),
		Tunnel:    s.boolean("tunneling", false),
		Threshold: s.share("depool-threshold", 0.5),
		Admin:     s.admin(defaults.admin),
		Monitors:  parseMonitors(s),
		Announce:  s.boolean("bgp", true) && defaults.announce,
		MED:       uint32(med),

		LowWatermark: int(low),
		SlowStart:    time.Duration(slow) * time.Second,
	}
	if _, set := s.required("protocol"); set {
		service.Protocol = s.choice("protocol", "", "tcp", "udp")
	}
	if _, set := s.required("scheduler"); set {
		service.Scheduler = s.choice("scheduler", "", schedulers()...)
	}
	if from, set := s.required("config"); set {
		service.Source, service.LocalRevisions = from, source.Local(from)
		if err := source.Check(from); err != nil {
			s.bad("config", "%v", err)
		}
	}
	if service.OnePacket && service.Protocol == "tcp" {
		s.bad("ops", "one-packet scheduling is for udp only")
	}
	return service, ok && service.Protocol != ""
}

func parseVIP(s *section) (netip.AddrPort, bool) {
	var ip netip.Addr
	v, ok := s.required("ip")
	if ok {
		ip, ok = s.addr("ip", v)
	}
	if ok && ip.IsUnspecified() {
		s.bad("ip", "%s is no address to serve", ip)
		ok = false
	}
	if _, set := s.required("port"); !set {
		return netip.AddrPort{}, false
	}
	port, _ := s.integer("port", 0, 1, 65535)
	return netip.AddrPortFrom(ip, uint16(port)), ok && port != 0
}

// parseMonitors reads the list of monitors and their options, which are those
// that begin with the monitor's name in lower case and a point.
func parseMonitors(s *section) []lb.Monitor {
	var monitors []lb.Monitor
	seen := make(map[string]bool)
	for _, kind := range s.list("monitors") {
		if seen[kind] {
			s.bad("monitors", "%s is listed twice", kind)
			continue
		}
		seen[kind] = true
		prefix := strings.ToLower(kind) + "."
		m := lb.Monitor{Kind: kind, Options: monitorOptions(s, prefix)}
		monitors = append(monitors, m)
		if s.validate == nil {
			continue
		}
		ignored, err := s.validate(m)
		if err != nil {
			s.bad("monitors", "%v", err)
		}
		for _, option := range ignored {
			delete(s.used, prefix+option)
		}
	}
	return monitors
}

func monitorOptions(s *section, prefix string) map[string][]string {
	options := make(map[string][]string)
	for _, option := range slices.Sorted(maps.Keys(s.options)) {
		name, ok := strings.CutPrefix(option, prefix)
		if !ok || name == "" {
			continue
		}
		v, _ := s.text(option)
		values, err := oneOrMore(v)
		if option == "runcommand.arguments" {
			values, err = commandArguments(v)
		}
		if err != nil {
			s.bad(option, "%v", err)
			continue
		}
		options[name] = values
	}
	return options
}

// commandArguments reads a list in which PyBal's names of what belongs to a
// server stand for placeholders, "{server.host}", which the check fills.
func commandArguments(text string) ([]string, error) {
	names := make(map[string]any)
	for _, name := range []string{"server.host", "server.ip", "server.port", "server.weight"} {
		names[name] = "{" + name + "}"
	}
	return parseListWith(text, names)
}

// sharing holds what services have in common: no two may have the same VIP,
// protocol and port, and those that announce the same address must agree on
// its MED, where having none of its own counts as a value (PyBal's rule).
type sharing struct {
	virtual map[string]*section
	meds    map[netip.Addr]*section
}

func newSharing() *sharing {
	return &sharing{virtual: make(map[string]*section), meds: make(map[netip.Addr]*section)}
}

func (sh *sharing) check(s *section, service lb.Service) {
	id := service.Protocol + " " + service.VIP.String()
	if other, ok := sh.virtual[id]; ok {
		s.bad("port", "%s is already that of [%s], line %d", id, other.name, other.line)
	} else {
		sh.virtual[id] = s
	}
	if !s.boolean("bgp", true) {
		return
	}
	ip := service.VIP.Addr()
	other, ok := sh.meds[ip]
	if !ok {
		sh.meds[ip] = s
		return
	}
	if mine, theirs := ownMED(s), ownMED(other); mine != theirs {
		s.bad("bgp-med", "%s differs from %s of [%s], line %d, which shares %s", mine, theirs, other.name, other.line, ip)
	}
}

func ownMED(s *section) string {
	med, set := s.integer("bgp-med", 0, 0, maxUint32)
	if !set {
		return "none"
	}
	return strconv.FormatInt(med, 10)
}
