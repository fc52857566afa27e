// Package lbd is the balancer as a program: it reads pybal.conf, wires the
// balancer's rooms together, and serves its status, metrics and web page.
package lbd

import (
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/sluice-lb/sluice/internal/bgp"
	"github.com/sluice-lb/sluice/internal/lb"
	"github.com/sluice-lb/sluice/internal/problem"
	"github.com/sluice-lb/sluice/internal/source"
)

// Config is a whole configuration file, understood and checked.
type Config struct {
	Global Global
	// Services are in the order of the file.
	Services []lb.Service
	// Ignored are the options nobody looked at, as "section: option, line
	// N", in the order of the file.
	Ignored []string
}

// Global is the [global] section.
type Global struct {
	// Name is what this balancer calls itself; ReadConfig fills in the
	// machine's host name.
	Name string
	// Plane is the forwarding plane to drive.
	Plane Plane
	// HostsFile is a file in the form of /etc/hosts that is consulted before
	// DNS; empty means none.
	HostsFile string
	// ReloadOnChange says to reload as soon as the configuration file is
	// another one.
	ReloadOnChange bool
	// StateDir is where the last good pools are kept for the next start;
	// empty means nowhere, or where systemd says.
	StateDir string
	// SourceCA is a file of PEM certificates that https sources are verified
	// by; empty means the system's.
	SourceCA string
	// Etcd is how to speak to the stores of etcd:// sources.
	Etcd source.Access
	// BGP is nil where bgp is off.
	BGP *bgp.Config
	// Instrumentation says whether to serve HTTP at all, on InstrumentationPort
	// of every one of InstrumentationIPs.
	Instrumentation     bool
	InstrumentationPort uint16
	InstrumentationIPs  []netip.Addr
	// TLSCert and TLSKey are PEM files to serve HTTPS with; empty means HTTP.
	TLSCert, TLSKey string
	// Registration says whether and as what to register in the stores.
	Registration Registration
}

// Listen returns the addresses to serve HTTP on; none if instrumentation is
// off.
func (g Global) Listen() []netip.AddrPort {
	if !g.Instrumentation {
		return nil
	}
	var addrs []netip.AddrPort
	for _, ip := range g.InstrumentationIPs {
		addrs = append(addrs, netip.AddrPortFrom(ip, g.InstrumentationPort))
	}
	return addrs
}

// Plane names a forwarding plane.
type Plane string

// The planes an operator can ask for.
const (
	PlaneIPVS      Plane = "ipvs"
	PlaneUserspace Plane = "userspace"
	PlaneDryRun    Plane = "dry-run"
)

// Validate says what is wrong with a monitor, and which of its options nobody
// looks at. The error is expected to name the monitor.
type Validate func(lb.Monitor) (ignored []string, err error)

// ReadConfig reads and parses the file at path. Unlike PyBal's, a missing or
// unreadable file is an error.
func ReadConfig(path string, validate Validate) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return namedConfig(data, path, validate)
}

// namedConfig parses a file and gives a balancer without a name its own.
func namedConfig(data []byte, file string, validate Validate) (*Config, error) {
	config, err := ParseConfig(data, file, validate)
	if err != nil {
		return nil, err
	}
	if config.Global.Name == "" {
		if config.Global.Name, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("find a name for this balancer: %w", err)
		}
	}
	return config, nil
}

// ParseConfig reads a pybal.conf; file is its name in errors. The error joins
// everything that is wrong, each line as "FILE: line N: …", and the config is
// then nil. Every monitor is shown to validate, unless that is nil.
func ParseConfig(data []byte, file string, validate Validate) (*Config, error) {
	p := &problem.List{File: file}
	ini := parseINI(data, p)
	config := &Config{}
	r := confReader{ini: ini, problems: p, validate: validate}

	global, ok := r.find("global")
	if !ok {
		global = r.section(newSection("global", 1))
	}
	config.Global = parseGlobal(global)
	defaults := serviceDefaults{admin: global.admin(lb.GuardDepool), announce: config.Global.BGP != nil}
	defaults.med, _ = global.integer("bgp-med", 0, 0, maxUint32)

	shared := newSharing()
	for _, s := range ini.sections {
		if s.name == "global" {
			continue
		}
		sec := r.section(s)
		if service, ok := parseService(sec, defaults); ok {
			shared.check(sec, service)
			config.Services = append(config.Services, service)
		}
	}
	checkNextHops(global, config)
	config.Ignored = r.ignored()
	if err := p.Err(); err != nil {
		return nil, err
	}
	return config, nil
}

// confReader hands out the sections of one file and remembers which options
// were looked at.
type confReader struct {
	ini      *iniFile
	problems *problem.List
	validate Validate
	read     []*section
}

func (r *confReader) find(name string) (*section, bool) {
	i := slices.IndexFunc(r.ini.sections, func(s *iniSection) bool { return s.name == name })
	if i < 0 {
		return nil, false
	}
	return r.section(r.ini.sections[i]), true
}

func (r *confReader) section(s *iniSection) *section {
	sec := &section{
		name:     s.name,
		line:     s.line,
		options:  r.ini.effective(s, r.problems),
		used:     make(map[string]bool),
		problems: r.problems,
		validate: r.validate,
	}
	r.read = append(r.read, sec)
	return sec
}

// ignored lists the options no section used. One in [DEFAULT] is listed once,
// if nobody used it.
func (r *confReader) ignored() []string {
	unused := make(map[iniOption]bool)
	used := make(map[iniOption]bool)
	for _, s := range r.read {
		for name, o := range s.options {
			o.value = ""
			if s.used[name] {
				used[o] = true
			} else {
				unused[o] = true
			}
		}
	}
	var list []iniOption
	for o := range unused {
		if !used[o] {
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(a, b iniOption) int { return a.line - b.line })
	var ignored []string
	for _, o := range list {
		ignored = append(ignored, fmt.Sprintf("%s: %s, line %d", o.section, o.name, o.line))
	}
	return ignored
}
