package catalog

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Secondary is the class of a balancer that carries all classes: it takes over
// from every other.
const Secondary = "secondary"

// Section is one section of pybal.conf: a service at one of its addresses.
type Section struct {
	// Name is LABEL_PORT, and LABEL_PORT_udp for UDP.
	Name string
	// Comment says what the service is.
	Comment []string
	// Site, Cluster and Service are where the pool's servers are in conftool;
	// Entry is the service's name in the catalog.
	Site, Cluster, Service, Entry string
	// Class is the class of balancers it is for.
	Class     string
	Protocol  string
	VIP       netip.AddrPort
	Scheduler string
	Tunnel    bool
	Threshold float64
	// Announce is nil where nothing is said of BGP.
	Announce *bool
	Monitors []Monitor
	// Source is the URL of the pool, for the one who writes to fill in.
	Source string
}

// Selection is what one load balancer carries.
type Selection struct {
	Site, Class string
	// Sections are sorted by the catalog's names, then by label.
	Sections []Section
	// Off are the services the balancer would carry if they were on, each with
	// the reason: "NAME: its state is service_setup".
	Off []string
}

// Select returns what a balancer of a site and class carries. No class at all
// is Secondary. A site or a class that no service has is an error.
func (c *Catalog) Select(site, class string) (Selection, error) {
	if class == "" {
		class = Secondary
	}
	if sites := c.Sites(); !slices.Contains(sites, site) {
		return Selection{}, fmt.Errorf("no site %q: there are %s", site, strings.Join(sites, ", "))
	}
	if classes := c.Classes(); class != Secondary && !slices.Contains(classes, class) {
		return Selection{}, fmt.Errorf("no class %q: there are %s, and %s for all of them", class, strings.Join(classes, ", "), Secondary)
	}
	selected := Selection{Site: site, Class: class}
	for _, s := range c.services {
		switch why := s.off(); {
		case !slices.Contains(s.sites, site), class != Secondary && class != s.class:
		case why != "":
			selected.Off = append(selected.Off, s.name+": "+why)
		default:
			selected.Sections = append(selected.Sections, s.at(site)...)
		}
	}
	return selected, nil
}

// at returns the sections of a service at a site, one for each address.
func (s service) at(site string) []Section {
	var sections []Section
	comment := []string{fillIn(s.description, site), "class " + s.class}
	if s.disabled {
		comment = append(comment, "lvs.enabled is false, which nobody heeds")
	}
	if s.flag != "" {
		comment = append(comment, "not written, for want of an option: scheduler_flag "+s.flag)
	}
	for _, a := range s.addresses[site] {
		sections = append(sections, Section{
			Name: s.section(a.label), Comment: comment,
			Site: site, Cluster: s.cluster, Service: s.pool, Entry: s.name, Class: s.class,
			Protocol: s.protocol, VIP: netip.AddrPortFrom(a.ip, s.port), Scheduler: s.scheduler,
			Tunnel: slices.Contains(s.tunnelled, site), Threshold: s.threshold, Announce: s.announce, Monitors: filledIn(s.monitors, site),
		})
	}
	return sections
}

// section names the section of an address.
func (s service) section(label string) string {
	if label == "default" {
		label = s.name
	}
	name := fmt.Sprintf("%s_%d", label, s.port)
	if s.protocol != defaultProtocol {
		name += "_" + s.protocol
	}
	return name
}

// clashes complains about services whose sections at one site would have the
// same name, or the same virtual address, protocol and port. It matters not
// that they are of different classes: a secondary carries them all.
func (r *reader) clashes(c *Catalog) {
	byLine := slices.SortedFunc(slices.Values(c.services), func(a, b service) int { return a.line - b.line })
	taken := map[string]service{}
	for _, s := range byLine {
		if s.off() != "" || s.port == 0 {
			continue
		}
		for _, site := range s.sites {
			for _, section := range s.at(site) {
				for _, claim := range []string{"the name " + section.Name, section.Protocol + " " + section.VIP.String()} {
					key := site + " " + claim
					if other, is := taken[key]; is {
						r.Add(s.line, "service %s: %s at %s is already that of service %s, line %d", shown(s.name), claim, site, shown(other.name), other.line)
						continue
					}
					taken[key] = s
				}
			}
		}
	}
}
