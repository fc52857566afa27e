package lbd

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-lb/sluice/internal/lb"
)

// service returns a valid section whose first line is the header; changes
// replace the options of the same name, and "-name" takes one away.
func service(name string, changes ...string) string {
	lines := []string{"protocol = tcp", "ip = 192.0.2.1", "port = 80", "scheduler = wrr", "config = etcd://h/k"}
	for _, change := range changes {
		if option, drop := strings.CutPrefix(change, "-"); drop {
			lines = replaceLine(lines, option, "")
		} else {
			lines = replaceLine(lines, strings.Fields(change)[0], change)
		}
	}
	return "[" + name + "]\n" + strings.Join(lines, "\n") + "\n"
}

// replaceLine keeps every line where it is; a new option goes to the end.
func replaceLine(lines []string, option, line string) []string {
	for i := range lines {
		if strings.HasPrefix(lines[i], option+" ") {
			lines[i] = line
			return lines
		}
	}
	return append(lines, line)
}

func TestParseConfigErrors(t *testing.T) {
	tests := []struct{ name, text, want string }{
		// Case C60.
		{"percent in a URL", service("a", `monitors = ["ProxyFetch"]`, `proxyfetch.url = ["http://h/a%20b"]`),
			`f: line 8: [a] proxyfetch.url: a bare "%" must be written "%%"`},
		{"https source without a host", service("a", "config = https:///k"), "f: line 6: [a] config: https:// names no host"},
		{"bad scheduler", service("a", "scheduler = fancy"),
			`f: line 5: [a] scheduler: "fancy" is not one of rr, wrr, lc, wlc, lblc, lblcr, dh, sh, sed, nq, mh, fo, ovf`},
		{"missing port", service("a", "-port"), "f: line 1: [a] port: missing"},
		{"bad bool", service("a", "bgp = maybe"), `f: line 7: [a] bgp: "maybe" is neither yes nor no`},
		{"bad float", service("a", "depool-threshold = half"), `f: line 7: [a] depool-threshold: "half" is not a number`},
		{"no number", service("a", "depool-threshold = NaN"), `f: line 7: [a] depool-threshold: "NaN" is not a number`},
		{"threshold over one", service("a", "depool-threshold = 1.01"), "f: line 7: [a] depool-threshold: 1.01 is outside 0 to 1"},
		{"threshold under zero", service("a", "depool-threshold = -.5"), "f: line 7: [a] depool-threshold: -.5 is outside 0 to 1"},
		// Case C30.
		{"one packet over TCP", service("a", "ops = true"), "f: line 7: [a] ops: one-packet scheduling is for udp only"},
		// Case C49.
		{"different MEDs", service("a", "bgp-med = 10") + service("b", "port = 81", "bgp-med = 20"),
			"f: line 14: [b] bgp-med: 20 differs from 10 of [a], line 1, which shares 192.0.2.1"},
		{"a MED and none", service("a", "bgp-med = 0") + service("b", "port = 81"),
			"f: line 8: [b] bgp-med: none differs from 0 of [a], line 1, which shares 192.0.2.1"},

		{"key without certificate", "[global]\netcd-key = k\n", "f: line 2: [global] etcd-key: there is no etcd-cert that it is of"},
		{"user without password", "[global]\netcd-username = lb\n", "f: line 2: [global] etcd-username: there is no etcd-password-file"},
		{"password without user", "[global]\netcd-password-file = f\n", "f: line 2: [global] etcd-password-file: there is no etcd-username"},
		{"one server of two", service("a", "config = etcd://h1,:2379/k"), "f: line 6: [a] config: etcd:// names no host"},
		{"nothing in it", "[a]\n", "f: line 1: [a] config: missing\nf: line 1: [a] ip: missing\nf: line 1: [a] port: missing\n" +
			"f: line 1: [a] protocol: missing\nf: line 1: [a] scheduler: missing"},
		{"empty option", service("a", "protocol ="), "f: line 2: [a] protocol: missing"},
		{"bad protocol", service("a", "protocol = sctp"), `f: line 2: [a] protocol: "sctp" is not one of tcp, udp`},
		{"bad ip", service("a", "ip = www.example"), `f: line 3: [a] ip: "www.example" is not an IP address`},
		{"zone", service("a", "ip = fe80::1%%lo"), `f: line 3: [a] ip: "fe80::1%lo": address with a zone, or IPv4 written as IPv6`},
		{"mapped", service("a", "ip = ::ffff:192.0.2.1"), `f: line 3: [a] ip: "::ffff:192.0.2.1": address with a zone, or IPv4 written as IPv6`},
		{"no address", service("a", "ip = ::"), "f: line 3: [a] ip: :: is no address to serve"},
		{"port zero", service("a", "port = 0"), "f: line 4: [a] port: 0 is outside 1 to 65535"},
		{"port by name", service("a", "port = http"), `f: line 4: [a] port: "http" is not a whole number`},
		{"bad admin-depool", service("a", "admin-depool = yes"), `f: line 7: [a] admin-depool: "yes" is not one of guard, honour`},
		{"same VIP", service("a") + service("b", "port = 81") + service("c"), "f: line 16: [c] port: tcp 192.0.2.1:80 is already that of [a], line 1"},

		{"file source", service("a", "config = file://etc/pool"), `f: line 6: [a] config: file:// wants the absolute path of a file, as in file:///etc/pybal/pool: got "etc/pool"`},
		{"no source", service("a", "config = /etc/pool"), `f: line 6: [a] config: "/etc/pool" is not the URL of a source; write it as etcd://HOST:PORT/KEY/, file:///PATH or http://HOST/PATH`},
		{"no host", service("a", "config = etcd:///k"), "f: line 6: [a] config: etcd:// names no host"},
		{"no key", service("a", "config = etcd://h:1//"), "f: line 6: [a] config: etcd:// names no key"},
		{"bad port", service("a", "config = etcd://h:70000/k"), `f: line 6: [a] config: "70000" is not a port`},
		{"password", service("a", "config = etcd://u:p@h/k"), "f: line 6: [a] config: etcd:// takes a host, a port and a key and nothing else"},

		{"monitors no list", service("a", `monitors = "ProxyFetch"`), `f: line 7: [a] monitors: "\"ProxyFetch\"" is not a list; write it as [ "…" ]`},
		{"monitors no literal", service("a", `monitors = [ ProxyFetch ]`),
			"f: line 7: [a] monitors: not a Python literal: character 3: ProxyFetch is a name, not a value"},
		{"monitors nested", service("a", `monitors = [["ProxyFetch"]]`), "f: line 7: [a] monitors: list holds something else than strings and numbers"},
		{"monitor twice", service("a", `monitors = ["UDP", "UDP"]`), "f: line 7: [a] monitors: UDP is listed twice"},
		{"bad monitor", service("a", `monitors = ["Odd", "UDP"]`), "f: line 7: [a] monitors: what is this"},
		{"argument that is no placeholder", service("a", `monitors = ["RunCommand"]`, `runcommand.arguments = [ server.up ]`),
			"f: line 8: [a] runcommand.arguments: not a Python literal: character 3: server.up is a name, not a value"},
		{"placeholder elsewhere", service("a", `monitors = ["UDP"]`, `udp.x = [ server.ip ]`),
			"f: line 8: [a] udp.x: not a Python literal: character 3: server is a name, not a value"},
		{"option no list", service("a", `monitors = ["UDP"]`, `udp.x = [ y`),
			"f: line 8: [a] udp.x: not a Python literal: character 3: y is a name, not a value"},

		{"bad plane", "[global]\nplane = b52", `f: line 2: [global] plane: "b52" is not one of ipvs, userspace, dry-run`},
		{"bad name", "[global]\nname = a/b", `f: line 2: [global] name: "a/b" holds a slash or a blank`},
		{"bad HTTP port", "[global]\ninstrumentation_port = 65536", "f: line 2: [global] instrumentation_port: 65536 is outside 0 to 65535"},
		{"bad HTTP address", "[global]\ninstrumentation_ips = [ 'localhost' ]", `f: line 2: [global] instrumentation_ips: "localhost" is not an IP address`},
		{"bad default", "[DEFAULT]\ndepool-threshold = 2\n" + service("a") + service("b", "port = 81"),
			"f: line 2: [a] depool-threshold: 2 is outside 0 to 1\nf: line 2: [b] depool-threshold: 2 is outside 0 to 1"},
		{"no BGP settings", "[global]\nbgp = yes\n",
			"f: line 1: [global] bgp-local-asn: missing\nf: line 1: [global] bgp-peer-address: names no peer\n" +
				"f: line 1: [global] bgp-router-id: missing, and neither bgp-local-ips nor bgp-nexthop-ipv4 has an IPv4 address to use"},
		{"bad BGP settings", "[global]\nbgp-local-asn = 0\nbgp-as-path = 1 x\nbgp-peer-address = [ '::1', '::1' ]\n" +
			"bgp-nexthop-ipv4 = ::1\nbgp-nexthop-ipv6 = 127.0.0.1\nbgp-router-id = ::2\nbgp-local-ips = [ 'x' ]\nbgp-med = -1\nbgp-peer-asn = no\n",
			"f: line 2: [global] bgp-local-asn: 0 is outside 1 to 4294967295\n" +
				"f: line 3: [global] bgp-as-path: \"x\" is not an AS number\n" +
				"f: line 4: [global] bgp-peer-address: ::1 is listed twice\n" +
				"f: line 5: [global] bgp-nexthop-ipv4: ::1 is not IPv4\n" +
				"f: line 6: [global] bgp-nexthop-ipv6: 127.0.0.1 is not IPv6\n" +
				"f: line 7: [global] bgp-router-id: ::2 is not IPv4\n" +
				"f: line 8: [global] bgp-local-ips: \"x\" is not an IP address\n" +
				"f: line 9: [global] bgp-med: -1 is outside 0 to 4294967295\n" +
				"f: line 10: [global] bgp-peer-asn: \"no\" is not a whole number"},
		{"no next hop", "[global]\nbgp = yes\nbgp-local-asn = 1\nbgp-router-id = 192.0.2.9\nbgp-peer-address = ::1\n" +
			service("a") + service("b", "ip = 2001:db8::1"),
			"f: line 1: [global] bgp-nexthop-ipv4: missing, but IPv4 services are announced\n" +
				"f: line 1: [global] bgp-nexthop-ipv6: missing, but IPv6 services are announced"},
		{"everything at once", "oops\n[global]\nbgp = perhaps\n" + service("a", "port = x", "scheduler = y"),
			"f: line 1: text before the first [section]\n" +
				"f: line 3: [global] bgp: \"perhaps\" is neither yes nor no\n" +
				"f: line 7: [a] port: \"x\" is not a whole number\n" +
				"f: line 8: [a] scheduler: \"y\" is not one of rr, wrr, lc, wlc, lblc, lblcr, dh, sh, sed, nq, mh, fo, ovf"},
	}
	validate := func(m lb.Monitor) ([]string, error) {
		if m.Kind == "Odd" {
			return nil, errors.New("what is this")
		}
		return nil, nil
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			config, err := ParseConfig([]byte(tt.text), "f", validate)
			if err == nil {
				t.Fatalf("no error; services %+v", config.Services)
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What looks like the errors above but is right.
func TestParseConfigAccepts(t *testing.T) {
	tests := []struct{ name, text string }{
		{"same VIP, other protocol", service("a") + service("b", "protocol = udp")},
		{"same MED", service("a", "bgp-med = 5") + service("b", "port = 81", "bgp-med = 5")},
		{"other MED, not announced", service("a", "bgp-med = 5") + service("b", "port = 81", "bgp-med = 6", "bgp = no")},
		{"one packet over UDP", service("a", "protocol = udp", "ops = 1")},
		{"doubled percent", service("a", `monitors = ["ProxyFetch"]`, `proxyfetch.url = ["http://h/a%%20b"]`)},
		{"no monitors", service("a", "monitors = []")},
		{"bounds of the threshold", service("a", "depool-threshold = 0") + service("b", "port = 81", "depool-threshold = 1")},
		{"next hop of the announced family only", "[global]\nbgp = yes\nbgp-local-asn = 1\nbgp-nexthop-ipv4 = 192.0.2.9\nbgp-peer-address = ::1\n" +
			service("a") + service("b", "ip = 2001:db8::1", "bgp = no")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := ParseConfig([]byte(tt.text), "f", nil); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestParseConfigMonitorOptions(t *testing.T) {
	config, err := ParseConfig([]byte(service("a", `monitors = ["ProxyFetch", "RunCommand"]`,
		`proxyfetch.url = [ 'http://a/', "http://b/" ]`, `proxyfetch.timeout = 5`, `proxyfetch.host = 'quoted'`,
		`runcommand.arguments = [ "-n", 3, 1.5, True, server.host, server.ip, server.port, server.weight ]`, `runcommand.log-output = no`, `runcommand.command = 'a' -b`,
		`runcommand.empty =`, `proxyfetchx.url = 1`)), "f", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []lb.Monitor{
		{Kind: "ProxyFetch", Options: map[string][]string{"url": {"http://a/", "http://b/"}, "timeout": {"5"}, "host": {"quoted"}}},
		{Kind: "RunCommand", Options: map[string][]string{"arguments": {"-n", "3", "1.5", "true",
			"{server.host}", "{server.ip}", "{server.port}", "{server.weight}"}, "log-output": {"no"},
			"command": {"'a' -b"}, "empty": {""}}},
	}
	if diff := cmp.Diff(want, config.Services[0].Monitors); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
