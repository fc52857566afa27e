package lbd

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluice-lb/sluice/internal/bgp"
	"github.com/sluice-lb/sluice/internal/health"
	"github.com/sluice-lb/sluice/internal/lb"
)

var compareAddrs = cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})

const exampleConf = `# one balancer of two
[global]
bgp = yes
bgp-local-asn = 64600
bgp-peer-address = [ '192.0.2.254', '192.0.2.253' ]
bgp-nexthop-ipv4 = 192.0.2.10
bgp-nexthop-ipv6 = 2001:db8::10
bgp-local-ips = [ '192.0.2.10' ]
bgp-med = 100
instrumentation = yes
instrumentation_ips = [ '127.0.0.1', '::1', '192.0.2.10' ]
dry-run = false

[shop_443]
protocol = tcp
ip = 198.51.100.22
port = 443
scheduler = wrr
ops = false
tunneling = false
config = etcd://conf1.example:4001/conftool/v1/pools/dc1/shop/nginx/
depool-threshold = 0.66
monitors = ["IdleConnection", "ProxyFetch"]
idleconnection.max-delay = 300
idleconnection.timeout-clean-reconnect = 3
proxyfetch.url = ["https://localhost/healthz?a=b;c"]

[dns6_53_udp]
protocol: udp
ip: 2001:db8:1::53
port: 53
scheduler: mh
ops: true
bgp: no
bgp-med: 7
admin-depool: honour
config: etcd://[2001:db8::1]/dns
`

func TestParseConfig(t *testing.T) {
	got, err := ParseConfig([]byte(exampleConf), "pybal.conf", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Global: Global{
			Plane: PlaneIPVS,
			BGP: &bgp.Config{
				LocalASN:    64600,
				RouterID:    netip.MustParseAddr("192.0.2.10"),
				LocalPort:   179,
				ListenAddrs: []netip.Addr{netip.MustParseAddr("192.0.2.10")},
				Peers: []bgp.Peer{
					{Addr: netip.MustParseAddr("192.0.2.254"), Port: 179},
					{Addr: netip.MustParseAddr("192.0.2.253"), Port: 179},
				},
				NextHop4:  netip.MustParseAddr("192.0.2.10"),
				NextHop6:  netip.MustParseAddr("2001:db8::10"),
				DrainWait: 2 * time.Second,
			},
			Instrumentation:     true,
			InstrumentationPort: 9090,
			Registration:        Registration{On: true},
			InstrumentationIPs: []netip.Addr{netip.MustParseAddr("127.0.0.1"),
				netip.MustParseAddr("::1"), netip.MustParseAddr("192.0.2.10")},
		},
		Services: []lb.Service{{
			Name: "shop_443", Protocol: "tcp", VIP: netip.MustParseAddrPort("198.51.100.22:443"),
			Scheduler: "wrr", Threshold: 0.66, Announce: true, MED: 100,
			Source: "etcd://conf1.example:4001/conftool/v1/pools/dc1/shop/nginx/",
			Monitors: []lb.Monitor{
				{Kind: "IdleConnection", Options: map[string][]string{"max-delay": {"300"}, "timeout-clean-reconnect": {"3"}}},
				{Kind: "ProxyFetch", Options: map[string][]string{"url": {"https://localhost/healthz?a=b;c"}}},
			},
		}, {
			Name: "dns6_53_udp", Protocol: "udp", VIP: netip.MustParseAddrPort("[2001:db8:1::53]:53"),
			Scheduler: "mh", OnePacket: true, Threshold: 0.5, Admin: lb.HonourDepool, MED: 7,
			Source: "etcd://[2001:db8::1]/dns",
		}},
		Ignored: []string{"global: dry-run, line 12"},
	}
	if diff := cmp.Diff(want, got, compareAddrs); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseConfigDefaults(t *testing.T) {
	got, err := ParseConfig(nil, "pybal.conf", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{Global: Global{Plane: PlaneIPVS, InstrumentationPort: 9090,
		InstrumentationIPs: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}}}
	if diff := cmp.Diff(want, got, compareAddrs); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if addrs := got.Global.Listen(); addrs != nil {
		t.Errorf("Listen() = %v with instrumentation off", addrs)
	}
	got.Global.Instrumentation = true
	if diff := cmp.Diff("[127.0.0.1:9090 [::1]:9090]", fmt.Sprint(got.Global.Listen())); diff != "" {
		t.Errorf("Listen() (-want +got):\n%s", diff)
	}
}

func TestParseConfigOwnOptions(t *testing.T) {
	got, err := ParseConfig([]byte(`
[DEFAULT]
scheduler = rr
nobody = knows
[global]
plane = userspace
hosts-file = hosts
admin-depool = honour
name = lb1
bgp = on
bgp-local-asn = 4200000000
bgp-as-path = 64601 64602
bgp-local-port = -1
bgp-local-ips = [""]
bgp-peer-address = 127.0.0.2
bgp-peer-asn = 64700
bgp-peer-port = 1179
bgp-router-id = 192.0.2.1
bgp-drain-wait = 0
bgp-nexthop-ipv4 = 192.0.2.10
[a]
ip = 127.0.0.1
port = 80
protocol = tcp
config = etcd://h/k
proxyfetch.url = x
[b]
ip = 127.0.0.1
port = 81
protocol = tcp
config = etcd://h/k
admin-depool = guard
depool-threshold = 1
Mistyped = 1
`), "f", nil)
	if err != nil {
		t.Fatal(err)
	}
	wantBGP := &bgp.Config{
		LocalASN: 4200000000, RouterID: netip.MustParseAddr("192.0.2.1"), LocalPort: -1,
		ListenAddrs: []netip.Addr{netip.IPv4Unspecified()},
		Peers:       []bgp.Peer{{Addr: netip.MustParseAddr("127.0.0.2"), ASN: 64700, Port: 1179}},
		ASPath:      []uint32{64601, 64602}, NextHop4: netip.MustParseAddr("192.0.2.10"),
	}
	if diff := cmp.Diff(wantBGP, got.Global.BGP, compareAddrs); diff != "" {
		t.Errorf("BGP (-want +got):\n%s", diff)
	}
	got.Global.BGP, got.Global.InstrumentationIPs = nil, nil
	wantGlobal := Global{Name: "lb1", Plane: PlaneUserspace, HostsFile: "hosts", InstrumentationPort: 9090}
	if diff := cmp.Diff(wantGlobal, got.Global, compareAddrs); diff != "" {
		t.Errorf("Global (-want +got):\n%s", diff)
	}
	admins := []lb.AdminDepool{got.Services[0].Admin, got.Services[1].Admin}
	if diff := cmp.Diff([]lb.AdminDepool{lb.HonourDepool, lb.GuardDepool}, admins); diff != "" {
		t.Errorf("admin-depool (-want +got):\n%s", diff)
	}
	wantIgnored := []string{"DEFAULT: nobody, line 4", "a: proxyfetch.url, line 26", "b: mistyped, line 34"}
	if diff := cmp.Diff(wantIgnored, got.Ignored); diff != "" {
		t.Errorf("Ignored (-want +got):\n%s", diff)
	}
}

// An option of a monitor that nobody looks at is as ignored as any other; in
// [DEFAULT] it takes only one service that does to make it known.
func TestParseConfigTellsUnknownMonitorOptions(t *testing.T) {
	got, err := ParseConfig([]byte("[DEFAULT]\nproxyfetch.timeout = 2\nproxyfetch.tiemout = 3\n"+
		service("a", `monitors = [ "ProxyFetch" ]`, "proxyfetch.url = http://h/", "proxyfetch.ulr = http://h/")+
		service("b", "port = 81", `monitors = [ "UDP" ]`, "udp.timeout = 3")), "f", health.Validate)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"DEFAULT: proxyfetch.tiemout, line 3", "a: proxyfetch.ulr, line 12", "b: udp.timeout, line 20"}
	if diff := cmp.Diff(want, got.Ignored); diff != "" {
		t.Errorf("Ignored (-want +got):\n%s", diff)
	}
}

// TestParseConfigPuppet is case C59: a file as Wikimedia's puppet would write
// it, of the size of their catalog.
func TestParseConfigPuppet(t *testing.T) {
	var b strings.Builder
	b.WriteString("[global]\nbgp = yes\nbgp-local-asn = 64600\nbgp-peer-address = [ \"192.0.2.254\" ]\n" +
		"bgp-nexthop-ipv4 = 192.0.2.10\nbgp-nexthop-ipv6 = 2001:db8::10\nbgp-med = 0\ndry-run = false\n" +
		"bgp-local-ips = [ \"192.0.2.10\" ]\ninstrumentation = yes\n" +
		"instrumentation_ips = [ \"127.0.0.1\", \"::1\", \"192.0.2.10\"]\nadvertised_instrumentation_ips = [ \"198.51.100.250\" ]\n\n")
	const services = 103
	for i := range services {
		scheduler, monitors := "wrr", `[ "IdleConnection" ]`
		if i%6 == 0 {
			scheduler = "mh"
		}
		ip := fmt.Sprintf("198.51.100.%d", i)
		if i%4 == 3 {
			ip = fmt.Sprintf("2001:db8:1::%x", i)
		}
		if i%5 < 2 {
			monitors = `[ "IdleConnection", "ProxyFetch" ]`
		}
		fmt.Fprintf(&b, "[svc%d_443]\nprotocol = tcp\nip = %s\nport = 443\nscheduler = %s\nops = false\ntunneling = false\n", i, ip, scheduler)
		fmt.Fprintf(&b, "config = etcd://conf1.example:4001/conftool/v1/pools/dc1/svc%d/nginx/\ndepool-threshold = .5\n", i)
		fmt.Fprintf(&b, "monitors = %s\nidleconnection.max-delay = 300\nidleconnection.timeout-clean-reconnect = 3\n", monitors)
		if i%5 < 2 {
			fmt.Fprintf(&b, "proxyfetch.url = [ \"https://svc%d.example/healthz\" ]\nproxyfetch.http_status = 200\n", i)
		}
		b.WriteString("\n")
	}
	asked := 0
	got, err := ParseConfig([]byte(b.String()), "pybal.conf", func(lb.Monitor) ([]string, error) { asked++; return nil, nil })
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Services) != services {
		t.Errorf("%d services, want %d", len(got.Services), services)
	}
	monitors := 0
	for i, s := range got.Services {
		if want := fmt.Sprintf("svc%d_443", i); s.Name != want || s.Threshold != 0.5 || !s.Announce {
			t.Errorf("service %d = %+v", i, s)
		}
		monitors += len(s.Monitors)
	}
	if want := services + 42; monitors != want || asked != want {
		t.Errorf("%d monitors, %d of them validated; want %d", monitors, asked, want)
	}
	want := []string{"global: dry-run, line 8", "global: advertised_instrumentation_ips, line 12"}
	if diff := cmp.Diff(want, got.Ignored); diff != "" {
		t.Errorf("Ignored (-want +got):\n%s", diff)
	}
}

func TestReadConfig(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadConfig(filepath.Join(dir, "none"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	path := filepath.Join(dir, "pybal.conf")
	if err := os.WriteFile(path, []byte("[global]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := ReadConfig(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil || config.Global.Name != host {
		t.Errorf("name = %q, want %q (%v)", config.Global.Name, host, err)
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(exampleConf))
	f.Add([]byte("[DEFAULT]\na = %(b)s\n[s]\nb = [ 'x',\n 'y' ] ; c\n"))
	f.Add([]byte("[global]\nbgp = yes\nbgp-peer-address = [ 1 ]\n[s]\nmonitors = [[]]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		config, err := ParseConfig(data, "f", nil)
		if (config == nil) == (err == nil) {
			t.Fatalf("config %v and error %v", config, err)
		}
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				if !strings.HasPrefix(line, "f: line ") {
					t.Fatalf("error names no line: %q", line)
				}
			}
			return
		}
		for _, s := range config.Services {
			if !s.VIP.IsValid() || s.Threshold < 0 || s.Threshold > 1 || s.Source == "" || s.Scheduler == "" {
				t.Fatalf("service got through: %+v", s)
			}
		}
	})
}

func TestParseConfigSources(t *testing.T) {
	got, err := ParseConfig([]byte("[global]\nstate-dir = /var/lib/lbd\nsource-ca = /etc/ssl/site.pem\n"+
		service("a", "config = file:///etc/pool")+service("b", "port = 81", "config = https://h/pool.json")+service("c", "port = 82")), "f", nil)
	if err != nil {
		t.Fatal(err)
	}
	if g := got.Global; g.StateDir != "/var/lib/lbd" || g.SourceCA != "/etc/ssl/site.pem" || len(got.Ignored) != 0 {
		t.Errorf("global %+v, ignored %v", g, got.Ignored)
	}
	s := got.Services
	if !s[0].LocalRevisions || !s[1].LocalRevisions || s[2].LocalRevisions {
		t.Errorf("services %+v", s)
	}
}
