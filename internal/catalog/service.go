package catalog

import (
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// serviceSetup is the state of a service that no balancer carries yet.
const serviceSetup = "service_setup"

// states are what a service can be in.
func states() []string {
	return []string{serviceSetup, "lvs_setup", "monitoring_setup", "production"}
}

func byName(a, b service) int { return strings.Compare(a.name, b.name) }

// off says why no balancer carries a service; "" for one that is carried.
func (s service) off() string {
	if s.state == serviceSetup {
		return "its state is " + serviceSetup
	}
	return ""
}

// service reads one service; false for one without lvs.
func (r *reader) service(v value) (service, bool) {
	o, _ := r.object(v)
	if !o.get("lvs").there() {
		return service{}, false
	}
	s := service{name: v.key, line: v.keyLine, addresses: map[string][]address{}}
	if !isWord(v.key) {
		r.Add(v.keyLine, "%s: %s", v.name, notWord)
	}
	s.description, _ = r.text(o.get("description"))
	s.state = r.choice(o.must("state"), "", states()...)
	s.sites = r.words(o.must("sites"))
	s.port = r.port(o.must("port"))
	r.addresses(&s, o)
	r.lvs(&s, o.get("lvs"))
	return s, true
}

// addresses reads the addresses of all sites, and complains about a site of the
// service that has none.
func (r *reader) addresses(s *service, o object) {
	ip := o.must("ip")
	if !ip.there() {
		return
	}
	sites, ok := r.object(ip)
	if !ok {
		return
	}
	for _, site := range sites.fields {
		labels, _ := r.mapping(site)
		for _, v := range labels {
			if !isWord(v.key) {
				r.bad(v, "%s", notWord)
			} else if ip, ok := r.address(v); ok {
				s.addresses[site.key] = append(s.addresses[site.key], address{v.key, ip})
			}
		}
		if site.node.Kind == yaml.MappingNode && len(labels) == 0 {
			r.bad(site, "has no address")
		}
		slices.SortFunc(s.addresses[site.key], func(a, b address) int { return strings.Compare(a.label, b.label) })
	}
	for _, site := range s.sites {
		if !sites.get(site).there() {
			r.bad(value{name: inside(ip.name, site), line: ip.keyLine}, "missing, though the service is at that site")
		}
	}
}

func (r *reader) address(v value) (netip.Addr, bool) {
	text, ok := r.text(v)
	if !ok {
		return netip.Addr{}, false
	}
	ip, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		r.bad(v, "%s is not an IP address", shown(text))
	case ip.Zone() != "" || ip.Is4In6():
		r.bad(v, "%s: address with a zone, or IPv4 written as IPv6", shown(text))
	case ip.IsUnspecified():
		r.bad(v, "%s is no address to serve", shown(text))
	default:
		return ip, true
	}
	return netip.Addr{}, false
}
