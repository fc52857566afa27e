package catalog

import (
	"slices"
	"strings"
)

// Schedulers are the names of the kernel's scheduling algorithms that PyBal or
// lbd knows.
func Schedulers() []string {
	return []string{"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "mh", "fo", "ovf"}
}

// Monitors are the kinds of health checks that lbd knows.
func Monitors() []string {
	return []string{"DNSQuery", "GRPCHealth", "IdleConnection", "ProxyFetch", "RunCommand", "TCPConnect", "UDP"}
}

// What a service has that says nothing of it.
const (
	defaultScheduler = "wrr"
	defaultProtocol  = "tcp"
	defaultThreshold = 0.5
)

// lvs reads what a service says of its load balancing. A field it does not
// know might be one it knows, misspelt, and is a problem.
func (r *reader) lvs(s *service, v value) {
	o, ok := r.object(v)
	if !ok {
		return
	}
	o.known("enabled", "class", "conftool", "depool_threshold", "monitors", "scheduler", "scheduler_flag", "protocol", "bgp", "ipip_encapsulation")
	s.disabled = !r.boolean(o.get("enabled"), true)
	s.class = r.word(o.must("class"))
	s.scheduler = r.choice(o.get("scheduler"), defaultScheduler, Schedulers()...)
	s.flag, _ = r.text(o.get("scheduler_flag"))
	s.protocol = r.choice(o.get("protocol"), defaultProtocol, "tcp", "udp")
	s.threshold = r.share(o.get("depool_threshold"), defaultThreshold)
	s.tunnelled = r.words(o.get("ipip_encapsulation"))
	if bgp := o.get("bgp"); bgp.there() {
		announce := r.boolean(bgp, true)
		s.announce = &announce
	}
	if conftool := o.must("conftool"); conftool.there() {
		r.conftool(s, conftool)
	}
	if monitors := o.get("monitors"); monitors.there() {
		r.monitors(s, monitors)
	}
}

func (r *reader) conftool(s *service, v value) {
	o, ok := r.object(v)
	if !ok {
		return
	}
	o.known("cluster", "service")
	s.cluster = r.word(o.must("cluster"))
	s.pool = r.word(o.must("service"))
}

// monitors reads the health checks, sorted by kind.
func (r *reader) monitors(s *service, v value) {
	kinds, _ := r.mapping(v)
	for _, kind := range kinds {
		if !slices.Contains(Monitors(), kind.key) {
			r.bad(value{name: kind.name, line: kind.keyLine}, "unknown monitor; known are %s", strings.Join(Monitors(), ", "))
			continue
		}
		m := Monitor{Kind: kind.key}
		if kind.node.ShortTag() != "!!null" { // "UDP:" has no options
			m.Options = r.options(kind)
		}
		s.monitors = append(s.monitors, m)
	}
	slices.SortFunc(s.monitors, func(a, b Monitor) int { return strings.Compare(a.Kind, b.Kind) })
}

func (r *reader) options(v value) []Option {
	var options []Option
	seen := map[string]bool{}
	fields, _ := r.mapping(v)
	for _, f := range fields {
		name := strings.ToLower(f.key)
		switch {
		case !isWord(name):
			r.bad(f, "%s", notWord)
		case seen[name]:
			r.bad(f, "stands twice, but for its case")
		default:
			if o, ok := r.option(name, f); ok {
				options = append(options, o)
			}
		}
		seen[name] = true
	}
	slices.SortFunc(options, func(a, b Option) int { return strings.Compare(a.Name, b.Name) })
	return options
}
