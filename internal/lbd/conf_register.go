package lbd

import (
	"fmt"
	"net/netip"
	"net/url"
)

// Registration says how this balancer makes itself known in the stores its
// services are declared in.
type Registration struct {
	// On is register, "yes" by default where there is an address to give.
	On bool
	// Advertise are the URLs of the status server that others should use;
	// empty means to tell by the addresses served on.
	Advertise []string
}

// parseRegistration reads register and advertise. Neither is PyBal's.
func parseRegistration(s *section, g Global) Registration {
	var r Registration
	for _, v := range s.list("advertise") {
		u, err := url.Parse(v)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			s.bad("advertise", "%q is no URL like http://192.0.2.1:9090", v)
			continue
		}
		r.Advertise = append(r.Advertise, v)
	}
	g.Registration = r
	reachable := g.Instrumentation && len(g.StatusURLs()) > 0
	r.On = s.boolean("register", reachable)
	if r.On && !reachable {
		s.bad("register", "nobody could reach this balancer: it needs instrumentation, and advertise or an instrumentation_ips that is not every machine's own")
	}
	return r
}

// StatusURLs returns where others reach the status server: what advertise
// says, or else the first address served on, one that is not a loopback
// address by preference. 127.0.0.1 and ::1 are nobody's address to give: on
// another machine they lead to that machine's own balancer, which would then
// answer for this one.
func (g Global) StatusURLs() []string {
	if len(g.Registration.Advertise) > 0 {
		return g.Registration.Advertise
	}
	var best netip.Addr
	for _, ip := range g.InstrumentationIPs {
		everybodys := ip == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || ip == netip.IPv6Loopback()
		if !everybodys && !ip.IsUnspecified() && (!best.IsValid() || best.IsLoopback() && !ip.IsLoopback()) {
			best = ip
		}
	}
	if !best.IsValid() {
		return nil
	}
	scheme := "http"
	if g.TLSCert != "" {
		scheme = "https"
	}
	return []string{fmt.Sprintf("%s://%s", scheme, netip.AddrPortFrom(best, g.InstrumentationPort))}
}
