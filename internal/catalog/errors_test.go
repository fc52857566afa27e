package catalog

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// one is a catalog with one good service, some lines of which are others.
func one(replace ...string) string {
	return strings.NewReplacer(replace...).Replace(`web:
  ip: {dc1: {default: 192.0.2.1}}
  port: 80
  sites: [dc1]
  state: production
  lvs:
    class: low
    conftool: {cluster: a, service: b}
    monitors:
      ProxyFetch:
        timeout: 5
`)
}

func TestParseErrors(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"good", one(), ""},
		{"empty", "", "f: empty"},
		{"nothing", "# c\n---\n", "f: line 3: want a mapping, got nothing"},
		{"a list", "[a]", "f: line 1: want a mapping, got a list"},
		{"another file", "a: {b: c}\nd: {}\n", "f: line 1: not one service has lvs: is this a service catalog?"},
		{"no mapping", "service::catalog:\n", `f: line 1: "service::catalog": want a mapping, got nothing`},
		{"two documents", one() + "---\na: b\n", "f: line 12: more than one document"},
		{"a bad second document", one() + "---\na: [\n", "f: line 13: did not find expected node content"},
		{"a tab", one("  state:", "\tstate:"), "f: line 5: indented by a tab, where YAML wants blanks"},
		{"a tab first", "\ta: 1", "f: line 1: indented by a tab, where YAML wants blanks"},
		{"no YAML", one("5\n", "5\n  ]"), "f: line 1: did not find expected key"},
		{"unknown anchor", "a: *b", "f: unknown anchor 'b' referenced"},
		{"not UTF-8", "a: \xff", "f: invalid leading UTF-8 octet"},
		{"no service", one() + "x: [1]", "f: line 12: service x: want a mapping, got a list"},
		{"key", one() + "[a]: b", "f: line 12: a key is a list, want a name"},

		{"service twice", one() + "web: {}\n", "f: line 12: web: stands twice, first in line 1"},
		{"field twice", one() + "  port: 81\n", "f: line 12: service web: port: stands twice, first in line 3"},
		{"any field twice", one("  port", "  page: a\n  page: b\n  port"), "f: line 4: service web: page: stands twice, first in line 3"},
		{"site twice", one("{dc1: {default: 192.0.2.1}}", "{dc1: {default: 192.0.2.1}, dc1: {default: 192.0.2.2}}"),
			"f: line 2: service web: ip.dc1: stands twice, first in line 2"},
		{"monitor twice", one() + "      UDP:\n      UDP:\n", "f: line 13: service web: lvs.monitors.UDP: stands twice, first in line 12"},
		{"option twice", one() + "        timeout: 6\n", "f: line 12: service web: lvs.monitors.ProxyFetch.timeout: stands twice, first in line 11"},
		{"option twice, cases", one() + "        TimeOut: 6\n", "f: line 12: service web: lvs.monitors.ProxyFetch.TimeOut: stands twice, but for its case"},

		{"service's name", one("web:", "we/b:"), `f: line 1: service "we/b": ` + notWord},
		{"label", one("{default:", "{a b:"), `f: line 2: service web: ip.dc1."a b": ` + notWord},
		{"injected label", one("{default:", `{"a]\n[x":`), `f: line 2: service web: ip.dc1."a]\n[x": ` + notWord},
		{"no ip", one("  ip: {dc1: {default: 192.0.2.1}}\n", ""), "f: line 1: service web: ip: missing"},
		{"ip", one("{dc1: {default: 192.0.2.1}}", "192.0.2.1"), `f: line 2: service web: ip: want a mapping, got "192.0.2.1"`},
		{"no ip there", one("dc1:", "dc2:"), "f: line 2: service web: ip.dc1: missing, though the service is at that site"},
		{"no address", one("{default: 192.0.2.1}", "{}"), "f: line 2: service web: ip.dc1: has no address"},
		{"address", one("192.0.2.1", "192.0.2.256"), `f: line 2: service web: ip.dc1.default: 192.0.2.256 is not an IP address`},
		{"network", one("192.0.2.1", "192.0.2.1/32"), `f: line 2: service web: ip.dc1.default: "192.0.2.1/32" is not an IP address`},
		{"address list", one("192.0.2.1", "[192.0.2.1]"), `f: line 2: service web: ip.dc1.default: want a text, got a list`},
		{"zone", one("192.0.2.1", "fe80::1%lo"), `f: line 2: service web: ip.dc1.default: "fe80::1%lo": address with a zone, or IPv4 written as IPv6`},
		{"unspecified", one("192.0.2.1", "'::'"), `f: line 2: service web: ip.dc1.default: "::" is no address to serve`},
		{"no port", one("  port: 80\n", ""), "f: line 1: service web: port: missing"},
		{"port 0", one("80", "0"), "f: line 3: service web: port: 0 is no port: want a number from 1 to 65535"},
		{"port 65536", one("80", "65536"), "f: line 3: service web: port: 65536 is no port: want a number from 1 to 65535"},
		{"octal port", one("80", "0443"), "f: line 3: service web: port: 0443 is no port: want a number from 1 to 65535"},
		{"port list", one("80", "[80]"), "f: line 3: service web: port: want a text, got a list"},
		{"port of no type", one("80", "!p 80"), "f: line 3: service web: port: a value of type !p is of no use here"},
		{"no sites", one("  sites: [dc1]\n", ""), "f: line 1: service web: sites: missing"},
		{"sites", one("[dc1]", "dc1"), `f: line 4: service web: sites: want a list, got "dc1"`},
		{"site", one("[dc1]", "[{}]"), `f: line 4: service web: sites: want a text, got a mapping`},
		{"site's name", one("[dc1]", `["a\n[b]"]`), `f: line 4: service web: sites: "a\n[b]": ` + notWord},
		{"no state", one("  state: production\n", ""), "f: line 1: service web: state: missing"},
		{"state", one("production", "prodction"), "f: line 5: service web: state: prodction is not one of service_setup, lvs_setup, monitoring_setup, production"},

		{"lvs", one("  lvs:", "  lvs: yes\n  x:"), `f: line 6: service web: lvs: want a mapping, got "yes"`},
		{"no class", one("    class: low\n", ""), "f: line 6: service web: lvs.class: missing"},
		{"class", one("low", "''"), `f: line 7: service web: lvs.class: "": ` + notWord},
		{"unknown field", one("    class", "    schedular: mh\n    class"),
			"f: line 7: service web: lvs.schedular: unknown; known are enabled, class, conftool, depool_threshold, monitors, scheduler, scheduler_flag, protocol, bgp, ipip_encapsulation"},
		{"enabled", one("    class", "    enabled: perhaps\n    class"), `f: line 7: service web: lvs.enabled: want true or false, got "perhaps"`},
		{"enabled nothing", one("    class", "    enabled:\n    class"), `f: line 7: service web: lvs.enabled: want true or false, got nothing`},
		{"bgp", one("    class", "    bgp: [yes]\n    class"), `f: line 7: service web: lvs.bgp: want true or false, got a list`},
		{"scheduler", one("    class", "    scheduler: fancy\n    class"),
			"f: line 7: service web: lvs.scheduler: fancy is not one of rr, wrr, lc, wlc, lblc, lblcr, dh, sh, sed, nq, mh, fo, ovf"},
		{"protocol", one("    class", "    protocol: sctp\n    class"), "f: line 7: service web: lvs.protocol: sctp is not one of tcp, udp"},
		{"threshold over", one("    class", "    depool_threshold: 1.5\n    class"), "f: line 7: service web: lvs.depool_threshold: 1.5 is outside 0 to 1"},
		{"threshold under", one("    class", "    depool_threshold: -.5\n    class"), `f: line 7: service web: lvs.depool_threshold: "-.5" is outside 0 to 1`},
		{"threshold half", one("    class", "    depool_threshold: half\n    class"), "f: line 7: service web: lvs.depool_threshold: half is not a number"},
		{"threshold NaN", one("    class", "    depool_threshold: NaN\n    class"), "f: line 7: service web: lvs.depool_threshold: NaN is not a number"},
		{"ipip", one("    class", "    ipip_encapsulation: dc1\n    class"), `f: line 7: service web: lvs.ipip_encapsulation: want a list, got "dc1"`},
		{"no conftool", one("    conftool: {cluster: a, service: b}\n", ""), "f: line 6: service web: lvs.conftool: missing"},
		{"no cluster", one("cluster: a, ", ""), "f: line 8: service web: lvs.conftool.cluster: missing"},
		{"cluster", one("cluster: a", "cluster: a/../b"), `f: line 8: service web: lvs.conftool.cluster: "a/../b": ` + notWord},
		{"conftool's", one("service: b", "service: b, host: c"), "f: line 8: service web: lvs.conftool.host: unknown; known are cluster, service"},

		{"monitors", one("      ProxyFetch:\n        timeout: 5\n", "      - UDP\n"), "f: line 10: service web: lvs.monitors: want a mapping, got a list"},
		{"monitor", one("ProxyFetch:", "Proxyfetch:"), "f: line 10: service web: lvs.monitors.Proxyfetch: unknown monitor; known are " + strings.Join(Monitors(), ", ")},
		{"monitor's options", one("ProxyFetch:\n        timeout: 5", "UDP: 5"), `f: line 10: service web: lvs.monitors.UDP: want a mapping, got "5"`},
		{"option nothing", one("timeout: 5", "timeout:"), "f: line 11: service web: lvs.monitors.ProxyFetch.timeout: want a value or a list of values, got nothing"},
		{"option mapping", one("timeout: 5", "timeout: {a: b}"), "f: line 11: service web: lvs.monitors.ProxyFetch.timeout: want a value or a list of values, got a mapping"},
		{"option nested", one("timeout: 5", "timeout: [[5]]"), "f: line 11: service web: lvs.monitors.ProxyFetch.timeout: want a value or a list of values, got a list"},
		{"option empty list", one("timeout: 5", "timeout: []"), "f: line 11: service web: lvs.monitors.ProxyFetch.timeout: is an empty list"},
		{"option empty", one("timeout: 5", "timeout: ''"), `f: line 11: service web: lvs.monitors.ProxyFetch.timeout: "" is empty`},
		{"option hexadecimal", one("timeout: 5", "timeout: 0x5"), `f: line 11: service web: lvs.monitors.ProxyFetch.timeout: 0x5 is a number in a notation of YAML's: write it in decimal`},
		{"option infinite", one("timeout: 5", "timeout: .inf"), `f: line 11: service web: lvs.monitors.ProxyFetch.timeout: ".inf" is not a number of use`},
		{"option binary", one("timeout: 5", "timeout: !!binary aGk="), `f: line 11: service web: lvs.monitors.ProxyFetch.timeout: want a value or a list of values, got "aGk="`},
		{"option newline", one("timeout: 5", `timeout: "5\n[x]"`), `f: line 11: service web: lvs.monitors.ProxyFetch.timeout: "5\n[x]" holds the character '\n', which must not be in a configuration`},
		{"option list newline", one("timeout: 5", `url: ["5", "\r"]`), `f: line 11: service web: lvs.monitors.ProxyFetch.url: "\r" holds the character '\r', which must not be in a configuration`},
		{"option literal", one("timeout: 5", `url: "[ 'http://h/' ]"`), `f: line 11: service web: lvs.monitors.ProxyFetch.url: "[ 'http://h/' ]" begins like a Python literal: write a list as YAML's`},
		{"option comment", one("timeout: 5", `timeout: 5 ;4`), `f: line 11: service web: lvs.monitors.ProxyFetch.timeout: "5 ;4" has a blank before a semicolon, which begins a comment in pybal.conf`},
		{"option Hiera", one("timeout: 5", `url: ["http://%{::domain}/"]`), `f: line 11: service web: lvs.monitors.ProxyFetch.url: "http://%{::domain}/": nobody but Puppet knows "%{::domain}"; only %{::site} is filled in`},
		{"option Hiera cut off", one("timeout: 5", `timeout: "%{%{site}site"`), `f: line 11: service web: lvs.monitors.ProxyFetch.timeout: "%{%{site}site": nobody but Puppet knows "%{site"; only %{::site} is filled in`},
		{"option's name", one("timeout: 5", `"a = b": 5`), `f: line 11: service web: lvs.monitors.ProxyFetch."a = b": ` + notWord},
		{"merge", one("timeout: 5", "<<: 5"), `f: line 11: service web: lvs.monitors.ProxyFetch."<<": want a mapping, got "5"`},
		{"merge of itself", one("ProxyFetch:", "ProxyFetch: &p", "timeout: 5", "<<: *p"), "f: line 10: service web: lvs.monitors.ProxyFetch.\"<<\": merges are nested more than 32 deep"},

		{"everything at once", one("80", "x", "192.0.2.1", "y", "production", "z", "    class: low\n", "", "5", "{}"),
			"f: line 2: service web: ip.dc1.default: y is not an IP address\n" +
				"f: line 3: service web: port: x is no port: want a number from 1 to 65535\n" +
				"f: line 5: service web: state: z is not one of service_setup, lvs_setup, monitoring_setup, production\n" +
				"f: line 6: service web: lvs.class: missing\n" +
				"f: line 10: service web: lvs.monitors.ProxyFetch.timeout: want a value or a list of values, got a mapping"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Parse([]byte(tt.text), "f")
			got := ""
			if err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || (c == nil) != (err != nil) {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// twoServices are services a and b, the latter with some lines of others.
func twoServices(replace ...string) string {
	a := strings.Replace(one(), "web:", "a:", 1)
	return a + strings.NewReplacer(replace...).Replace(strings.Replace(one(), "web:", "b:", 1))
}

func TestClashes(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"address", twoServices(), "f: line 12: service b: tcp 192.0.2.1:80 at dc1 is already that of service a, line 1"},
		{"whatever the class", twoServices("low", "high"), "f: line 12: service b: tcp 192.0.2.1:80 at dc1 is already that of service a, line 1"},
		{"in another notation", strings.Replace(twoServices("192.0.2.1", "'2001:db8:0::1'"), "192.0.2.1", "2001:db8::1", 1),
			"f: line 12: service b: tcp [2001:db8::1]:80 at dc1 is already that of service a, line 1"},
		{"within a service", one("{default: 192.0.2.1}", "{x: 192.0.2.1, y: 192.0.2.1}"), "f: line 1: service web: tcp 192.0.2.1:80 at dc1 is already that of service web, line 1"},
		{"name", twoServices("192.0.2.1", "192.0.2.2", "default", "a"), "f: line 12: service b: the name a_80 at dc1 is already that of service a, line 1"},
		{"port", twoServices("80", "81"), ""},
		{"protocol", twoServices("    class", "    protocol: udp\n    class"), ""},
		{"site", twoServices("dc1", "dc2"), ""},
		{"not there yet", twoServices("production", "service_setup"), ""},
		{"disabled", twoServices("    class", "    enabled: no\n    class"), "f: line 12: service b: tcp 192.0.2.1:80 at dc1 is already that of service a, line 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(tt.text), "f")
			if got := fmt.Sprint(err); got != tt.want && (err != nil || tt.want != "") {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// A small file whose aliases multiply is refused, and soon.
func TestBombs(t *testing.T) {
	var merges strings.Builder
	merges.WriteString("m0: &m0 {a: {}}\n")
	for i := 1; i < 30; i++ {
		fmt.Fprintf(&merges, "m%d: &m%d {<<: [%s]}\n", i, i, strings.Repeat(fmt.Sprintf("*m%d, ", i-1), 9))
	}
	many := "ip: &ip {" + manyKeys(3000) + "}\n"
	for i := range 3000 {
		many += fmt.Sprintf("s%d: {ip: *ip, lvs: {}}\n", i)
	}
	for name, text := range map[string]string{"merges": merges.String(), "shared mapping": many} {
		_, err := Parse([]byte(text), "f")
		if want := "f: more than 262144 values once aliases are followed"; err == nil || err.Error() != want {
			t.Errorf("%s: %.300v", name, err)
		}
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d: {}, ", i)
	}
	return b.String()
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte(one()))
	f.Add([]byte("a: &a {<<: *a, lvs: *a}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data, "f")
		if (c == nil) == (err == nil) {
			t.Fatalf("catalog %v and error %v", c, err)
		}
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				if !strings.HasPrefix(line, "f: ") {
					t.Fatalf("error names no file: %q", line)
				}
			}
			return
		}
		for _, site := range c.Sites() {
			checkSite(t, c, site)
		}
	})
}

// checkSite checks that what the catalog has for a site can be written, and that
// the text has those sections and no others.
func checkSite(t *testing.T, c *Catalog, site string) {
	selected, err := c.Select(site, "")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{}
	for i := range selected.Sections {
		selected.Sections[i].Source = "etcd://h/k/"
		want = append(want, selected.Sections[i].Name)
	}
	text, err := selected.Format(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := Services(text); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Fatalf("sections %q, want %q", got, want)
	}
}
