package nagios

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-lb/sluice/internal/dataplane"
	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// expect compares a result as it is printed, behind its exit code.
func expect(t *testing.T, what string, got Result, want string) {
	t.Helper()
	if diff := cmp.Diff(want, fmt.Sprintf("%d %s", got.Status, got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestAlerts(t *testing.T) {
	for body, want := range map[string]string{
		"OK - All pools are healthy": "0 All pools are healthy",
		"OKAY":                       "0 All pools are healthy",
		"WARNING - Pool a is too small to allow it. ":    "1 WARNING - Pool a is too small to allow it.",
		"CRITICAL - a: Servers b are marked down\nmore ": "2 CRITICAL - a: Servers b are marked down\nmore",
		"<html>|</html>": "2 <html>¦</html>",
		"not OK":         "2 not OK",
		" \n":            "2 Bad Response from pybal: empty body",
	} {
		expect(t, body, Alerts(body), want)
	}
	expect(t, "no answer", NoAlerts("500 Internal Server Error"), "2 Bad Response from pybal: 500 Internal Server Error")
	expect(t, "no idea", CannotTell(errors.New("read x:\n y | z")), "3 UNKNOWN: read x: y ¦ z")
}

func TestSessions(t *testing.T) {
	up, down := Session{"192.0.2.1", true}, Session{"2001:db8::1", false}
	expect(t, "off", Sessions(false, []Session{down}), "0 BGP not enabled")
	expect(t, "none", Sessions(true, nil), "3 UNKNOWN: BGP is enabled, and there is no session")
	expect(t, "one of two", Sessions(true, []Session{up, down}), "2 BGP missing sessions: [2001:db8::1] | established=1;;2:;0;2")
	expect(t, "none of two", Sessions(true, []Session{down, down}), "2 BGP missing sessions: [2001:db8::1, 2001:db8::1] | established=0;;2:;0;2")
	expect(t, "all", Sessions(true, []Session{up}), "0 BGP sessions established | established=1;;1:;0;1")
}

func id(protocol dataplane.Protocol, vip string) dataplane.ServiceID {
	return dataplane.ServiceID{Protocol: protocol, VIP: netip.MustParseAddrPort(vip)}
}

func held(id dataplane.ServiceID, addrs ...string) dataplane.Service {
	s := dataplane.Service{ID: id}
	for _, a := range addrs {
		s.Destinations = append(s.Destinations, dataplane.Destination{Addr: netip.MustParseAddrPort(a)})
	}
	return s
}

// said makes a report of members "HOST ADDRESS", those not pooled with a minus
// sign in front.
func said(members ...string) lbstatus.Report {
	var r lbstatus.Report
	for _, text := range members {
		m := lbstatus.Member{Pooled: text[0] != '-'}
		if !m.Pooled {
			text = text[1:]
		}
		fmt.Sscan(text, &m.Host, &m.Address)
		r.Members = append(r.Members, m)
	}
	return r
}

func TestIPVSDiff(t *testing.T) {
	web, dns := id("tcp", "10.2.0.1:80"), id("udp", "10.2.0.1:53")
	known := []Known{{"web_80", web}, {"dns_53", dns}}
	reports := map[string]lbstatus.Report{
		"web_80": said("a 10.0.0.1:80", "b 10.0.0.2:80", "-c 10.0.0.3:80"),
		"dns_53": said("a 10.0.0.1:53"),
	}
	same := dataplane.NewTable(held(web, "10.0.0.2:80", "10.0.0.1:80"), held(dns, "10.0.0.1:53"))
	const (
		ok  = "0 OK: no difference between hosts in IPVS/PyBal"
		bad = "2 CRITICAL: Mismatch between IPVS and PyBal"
	)
	for _, tt := range []struct {
		name    string
		reports map[string]lbstatus.Report
		kernel  Kernel
		want    string
	}{
		{"the same", reports, Kernel{Table: same}, ok + " | services=2 destinations=3"},
		{"a service missing", reports, Kernel{Table: same[:1]},
			bad + " | services=1 destinations=2\nServices known to PyBal but not to IPVS: dns_53 (udp 10.2.0.1:53)"},
		{"the other protocol is another service", reports, Kernel{Table: dataplane.NewTable(same[0], held(id("tcp", "10.2.0.1:53"), "10.0.0.1:53"))},
			bad + " | services=2 destinations=3\nServices known to PyBal but not to IPVS: dns_53 (udp 10.2.0.1:53)\n" +
				"Services in IPVS but unknown to PyBal: tcp 10.2.0.1:53"},
		{"a stray, with its hosts", reports, Kernel{Table: dataplane.NewTable(append(same, held(id("tcp", "10.2.0.9:80"), "10.0.0.9:80"))...)},
			bad + " | services=3 destinations=4\nServices in IPVS but unknown to PyBal: tcp 10.2.0.9:80"},
		{"right in one service, wrong in the other", reports, Kernel{Table: dataplane.NewTable(held(web, "10.0.0.2:80"), held(dns, "10.0.0.1:53", "10.0.0.2:53"))},
			bad + " | services=2 destinations=3\nHosts known to PyBal but not to IPVS: a (10.0.0.1:80) in web_80\n" +
				"Hosts in IPVS but unknown to PyBal: 10.0.0.2:53 in dns_53"},
		{"one that is out serves", reports, Kernel{Table: dataplane.NewTable(held(web, "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"), same[1])},
			bad + " | services=2 destinations=4\nHosts in IPVS but unknown to PyBal: c (10.0.0.3:80) in web_80"},
		{"an empty service is seen", map[string]lbstatus.Report{"web_80": reports["web_80"]}, Kernel{Table: dataplane.NewTable(same[0], held(dns))},
			ok + " | services=2 destinations=2"},
		{"an empty service is not seen", map[string]lbstatus.Report{"web_80": reports["web_80"], "dns_53": said("-a 10.0.0.1:53")}, Kernel{Table: same[:1], Blind: true},
			ok + " | services=1 destinations=2"},
		{"a service nobody knows is not seen", map[string]lbstatus.Report{"web_80": reports["web_80"]}, Kernel{Table: same[:1], Blind: true},
			bad + " | services=1 destinations=2\nServices known to PyBal but not to IPVS: dns_53 (udp 10.2.0.1:53)"},
		{"a full service is not seen", reports, Kernel{Table: same[:1], Blind: true},
			bad + " | services=1 destinations=2\nServices known to PyBal but not to IPVS: dns_53 (udp 10.2.0.1:53)"},
		{"a balancer that does not know the service", map[string]lbstatus.Report{"dns_53": reports["dns_53"]}, Kernel{Table: same},
			bad + " | services=2 destinations=3\nHosts in IPVS but unknown to PyBal: 10.0.0.1:80 in web_80, 10.0.0.2:80 in web_80"},
		{"a name nobody resolves may be any of them", map[string]lbstatus.Report{"web_80": said("a 10.0.0.1:80", "z"), "dns_53": reports["dns_53"]}, Kernel{Table: same},
			ok + " | services=2 destinations=3"},
	} {
		expect(t, tt.name, IPVSDiff(known, tt.reports, tt.kernel), tt.want)
	}
	expect(t, "nothing at all", IPVSDiff(nil, nil, Kernel{}), ok+" | services=0 destinations=0")
}

func TestIPVSDiffIsCut(t *testing.T) {
	web := id("tcp", "10.2.0.1:80")
	table := held(web)
	for i := range 30 {
		table.Destinations = append(table.Destinations, dataplane.Destination{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 80)})
	}
	got := IPVSDiff([]Known{{"web_80", web}}, nil, Kernel{Table: dataplane.NewTable(table)})
	if want := " and 10 more"; got.Text[len(got.Text)-len(want):] != want {
		t.Errorf("%q", got.Text)
	}
}
