package catalog

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// example has what a catalog can have.
const example = `
service::catalog:
  web:
    description: |
      Pages for [everybody],
      from %{::site}
    encryption: true
    ip: &web_ips
      dc2:
        weblb: 198.51.100.1
        weblb6: 2001:DB8:0::1
      dc1:
        default: 192.0.2.1
    lvs: &lvs
      class: high-traffic1
      conftool: {cluster: cache, service: http}
      depool_threshold: '.66'
      enabled: true
      monitors:
        ProxyFetch:
          url:
            - 'http://%{::site}.example/a%20b?c=1 ;d="\'
          http_status: 200
          check_all: yes
        IdleConnection: &idle
          timeout-clean-reconnect: 3
          max-delay: 300
      scheduler: mh
      ipip_encapsulation: [dc2]
    port: &port 80
    probes: [{type: http, path: [[[no, matter]]]}]
    sites: [dc1, dc2]
    state: production
  web-tls:
    ip: *web_ips
    lvs:
      <<: *lvs
      bgp: no
      monitors: {UDP: , ProxyFetch: {url: 'http://h/'}, IdleConnection: *idle}
    port: 443
    sites: [dc1]
    state: lvs_setup
  dns:
    ip: {dc1: {default: 192.0.2.53}}
    port: 53
    sites: [dc1]
    state: production
    lvs: {class: low-traffic, protocol: udp, bgp: true, conftool: {cluster: dns, service: dns}, scheduler_flag: x}
  idle:
    ip: {dc1: {default: 192.0.2.77}}
    port: *port
    sites: [dc1]
    state: production
    lvs: {<<: *lvs, enabled: false}
  later:
    ip: {dc1: {default: 192.0.2.9}}
    port: 9
    sites: [dc1]
    state: service_setup
    lvs: *lvs
  unbalanced: {port: seven, ip: nowhere}
other::key: 7
`

func mustParse(t testing.TB, text string) *Catalog {
	t.Helper()
	c, err := Parse([]byte(text), "f")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// names returns the names of the sections at a site for a class.
func names(t *testing.T, c *Catalog, site, class string) []string {
	t.Helper()
	selected, err := c.Select(site, class)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, s := range selected.Sections {
		names = append(names, s.Name)
	}
	return names
}

func TestSelect(t *testing.T) {
	c := mustParse(t, example)
	for _, tt := range []struct {
		site, class string
		want        []string
	}{
		{"dc1", "high-traffic1", []string{"idle_80", "web_80", "web-tls_443"}},
		{"dc1", "low-traffic", []string{"dns_53_udp"}},
		{"dc1", "", []string{"dns_53_udp", "idle_80", "web_80", "web-tls_443"}},
		{"dc1", Secondary, []string{"dns_53_udp", "idle_80", "web_80", "web-tls_443"}},
		{"dc2", Secondary, []string{"weblb_80", "weblb6_80"}},
		{"dc2", "low-traffic", []string{}},
	} {
		if diff := cmp.Diff(tt.want, names(t, c, tt.site, tt.class)); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", tt.site, tt.class, diff)
		}
	}
	if diff := cmp.Diff([]string{"dc1", "dc2"}, c.Sites()); diff != "" {
		t.Error(diff)
	}
	for _, tt := range []struct{ site, class, want string }{
		{"dc3", "low-traffic", `no site "dc3": there are dc1, dc2`},
		{"dc1", "Low-traffic", `no class "Low-traffic": there are high-traffic1, low-traffic, and secondary for all of them`},
	} {
		if _, err := c.Select(tt.site, tt.class); err == nil || err.Error() != tt.want {
			t.Errorf("%s %s: %v", tt.site, tt.class, err)
		}
	}
}

// A file without Hiera's key is the mapping itself.
func TestBareMapping(t *testing.T) {
	text := strings.Replace(strings.Replace(example, "service::catalog:\n", "", 1), "\nother::key: 7", "", 1)
	if diff := cmp.Diff([]string{"weblb_80", "weblb6_80"}, names(t, mustParse(t, text), "dc2", "")); diff != "" {
		t.Error(diff)
	}
}

func TestFormat(t *testing.T) {
	for site, golden := range map[string]string{"dc1": "testdata/dc1.conf", "dc2": "testdata/dc2.conf"} {
		selected, err := mustParse(t, example).Select(site, "")
		if err != nil {
			t.Fatal(err)
		}
		for i := range selected.Sections {
			selected.Sections[i].Source = "etcd://store.example:2379/conftool/v1/pools/a/"
		}
		got, err := selected.Format([]byte("[global]\nbgp = no\n\n"), "g")
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", golden, diff)
		}
	}
}

// What cannot be written is refused, whoever made the section.
func TestFormatRefuses(t *testing.T) {
	good := func() Section {
		return Section{Name: "a_80", Source: "etcd://h/k/", Scheduler: "wrr", Protocol: "tcp", Monitors: []Monitor{
			{Kind: "ProxyFetch", Options: []Option{{Name: "url", Values: []string{"http://h/"}, List: true}, {Name: "timeout", Values: []string{"5"}}}},
		}}
	}
	if _, err := (Selection{Sections: []Section{good()}}).Format(nil, ""); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Section){
		"name":              func(s *Section) { s.Name = "a]\n[b" },
		"source":            func(s *Section) { s.Source = "etcd://h/k/\nbgp = no" },
		"no source":         func(s *Section) { s.Source = "" },
		"scheduler":         func(s *Section) { s.Scheduler = "wrr ; x" },
		"kind":              func(s *Section) { s.Monitors[0].Kind = "a = b\n" },
		"option":            func(s *Section) { s.Monitors[0].Options[0].Name = "url = [] \n[x]\na" },
		"separator":         func(s *Section) { s.Monitors[0].Options[0].Name = "url:x" },
		"item":              func(s *Section) { s.Monitors[0].Options[0].Values[0] = "http://h/\n[x]" },
		"return":            func(s *Section) { s.Monitors[0].Options[0].Values[0] = "http://h/\r[x]" },
		"line separator":    func(s *Section) { s.Monitors[0].Options[1].Values[0] = "5\u2028" },
		"UTF-8":             func(s *Section) { s.Monitors[0].Options[1].Values[0] = "\xff" },
		"plain comment":     func(s *Section) { s.Monitors[0].Options[1].Values[0] = "5 ;x" },
		"plain, all of it":  func(s *Section) { s.Monitors[0].Options[1].Values[0] = ";x" },
		"plain blank":       func(s *Section) { s.Monitors[0].Options[1].Values[0] = "5 " },
		"plain empty":       func(s *Section) { s.Monitors[0].Options[1].Values[0] = `""` },
		"plain list":        func(s *Section) { s.Monitors[0].Options[1].Values[0] = "['5']" },
		"plain quoted text": func(s *Section) { s.Monitors[0].Options[1].Values[0] = "'5'" },
	} {
		s := good()
		spoil(&s)
		if text, err := (Selection{Sections: []Section{s}}).Format(nil, ""); err == nil {
			t.Errorf("%s: no error:\n%s", name, text)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFragment(t *testing.T) {
	selected := Selection{Sections: []Section{{Name: "a_80", Source: "etcd://h/k/", Scheduler: "wrr", Protocol: "tcp"}}}
	for _, tt := range []struct{ fragment, want string }{
		{"", ""},
		{"# c\n; c\nrem c\n\n[global]\nbgp = no\n[mine_80]\n", ""},
		{"[global] ; c", ""},
		{"[mine_80]\n", "g: line 1: there is no section [global]"},
		{"bgp = no\n[global]\n", "g: line 1: text before the first [section]"},
		{" # c\n[global]\n", "g: line 1: text before the first [section]"},
		{"[global]\n[a_80]\n\n[a_80] x\n", "g: line 2: section [a_80] is one the catalog has\ng: line 4: section [a_80] is one the catalog has"},
		{"[global]\n[a_80\n[]\n", "g: line 2: section header is not of the form [name]\ng: line 3: section header is not of the form [name]"},
		{"[global]\na = \xff", "g: line 1: not UTF-8 text\ng: line 1: there is no section [global]"},
	} {
		_, err := selected.Format([]byte(tt.fragment), "g")
		got := ""
		if err != nil {
			got = err.Error()
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.fragment, diff)
		}
	}
}

func TestServices(t *testing.T) {
	got := Services([]byte("[global]\n[b]\na = 1\n [no]\n[DEFAULT]\n[a] x\n[b]\n\xff[\n"))
	if diff := cmp.Diff([]string{"b", "a"}, got); diff != "" {
		t.Error(diff)
	}
}
