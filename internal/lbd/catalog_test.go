package lbd

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/sluice-lb/sluice/internal/catalog"
	"github.com/sluice-lb/sluice/internal/cli"
	"github.com/sluice-lb/sluice/internal/health"
	"github.com/sluice-lb/sluice/internal/lb"
)

// declared is a service as a catalog declares it, and as lbd should read it.
type declared struct {
	name, class string
	fields      map[string]any
	want        lb.Service
}

// odd are characters that mean something somewhere on the way.
const odd = `ab%()s;#=:[]{}"'\ é,`

// drawService draws a service of site dc1 with one address.
func drawService(t *rapid.T, n int) declared {
	d := declared{name: fmt.Sprintf("s%d", n), class: rapid.SampledFrom([]string{"low", "high"}).Draw(t, "class")}
	ip := rapid.SampledFrom([]string{"192.0.2.%d", "2001:db8::%d"}).Draw(t, "address")
	d.want = lb.Service{
		VIP:       netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf(ip, n+1)), rapid.Uint16Range(1, 65535).Draw(t, "port")),
		Protocol:  rapid.SampledFrom([]string{"tcp", "udp"}).Draw(t, "protocol"),
		Scheduler: rapid.SampledFrom(schedulers()).Draw(t, "scheduler"),
		Tunnel:    rapid.Bool().Draw(t, "tunnel"),
		Threshold: rapid.Float64Range(0, 1).Draw(t, "threshold"),
		Announce:  rapid.Bool().Draw(t, "announce"),
	}
	lvs := map[string]any{
		"class": d.class, "conftool": map[string]any{"cluster": "c", "service": d.name}, "protocol": d.want.Protocol,
		"scheduler": d.want.Scheduler, "depool_threshold": d.want.Threshold, "monitors": drawMonitors(t, &d.want),
	}
	if !d.want.Announce || rapid.Bool().Draw(t, "say so") {
		lvs["bgp"] = d.want.Announce
	}
	if d.want.Tunnel {
		lvs["ipip_encapsulation"] = []string{"dc2", "dc1"}
	}
	label := rapid.SampledFrom([]string{"default", "lb", "lb6"}).Draw(t, "label")
	d.fields = map[string]any{
		"description": rapid.StringOf(rapid.RuneFrom([]rune(odd+"\n\t"))).Draw(t, "description"),
		"sites":       []string{"dc1"}, "state": "production", "port": d.want.VIP.Port(),
		"ip": map[string]any{"dc1": map[string]any{label: d.want.VIP.Addr().String()}}, "lvs": lvs,
	}
	if label == "default" {
		label = d.name
	}
	d.want.Name = fmt.Sprintf("%s_%d", label, d.want.VIP.Port())
	if d.want.Protocol == "udp" {
		d.want.Name += "_udp"
	}
	d.want.Source = "etcd://h:1/" + d.name + "/"
	return d
}

// drawMonitors draws health checks with options nobody has heard of.
func drawMonitors(t *rapid.T, s *lb.Service) map[string]any {
	values := rapid.StringOf(rapid.RuneFrom([]rune(odd))).Filter(func(v string) bool { return !strings.Contains(v, "%{") })
	monitors := map[string]any{}
	kinds := rapid.SliceOfNDistinct(rapid.SampledFrom(catalog.Monitors()), 0, 3, rapid.ID).Draw(t, "monitors")
	for _, kind := range slices.Sorted(slices.Values(kinds)) {
		options, m := map[string]any{}, lb.Monitor{Kind: kind, Options: map[string][]string{}}
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"url", "x", "x-y", "rise"}), 0, 3, rapid.ID).Draw(t, "options") {
			list := rapid.SliceOfN(values, 1, 3).Draw(t, "values")
			options[name], m.Options[name] = list, list
			if n := rapid.Int().Draw(t, "number"); name == "rise" {
				options[name], m.Options[name] = n, []string{fmt.Sprint(n)}
			}
		}
		monitors[kind] = options
		s.Monitors = append(s.Monitors, m)
	}
	return monitors
}

// What a catalog says of its services, lbd reads from the pybal.conf that is
// written from it.
func TestCatalogIsReadAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		services := map[string]any{}
		var want []lb.Service
		class := rapid.SampledFrom([]string{"low", "high", catalog.Secondary}).Draw(t, "selected")
		taken := map[string]bool{}
		for n := range rapid.IntRange(1, 9).Draw(t, "services") { // s0 … s8 sort as they are drawn
			d := drawService(t, n)
			if taken[d.want.Name] {
				continue
			}
			taken[d.want.Name] = true
			services[d.name] = d.fields
			if class == catalog.Secondary || class == d.class {
				want = append(want, d.want)
			}
		}
		// Both classes have a service at least, and it comes last.
		for _, c := range []string{"low", "high"} {
			services["z-"+c] = map[string]any{
				"sites": []string{"dc1"}, "state": "service_setup", "port": 1, "ip": map[string]any{"dc1": map[string]any{"default": "192.0.2.99"}},
				"lvs": map[string]any{"class": c, "conftool": map[string]any{"cluster": "c", "service": "z"}},
			}
		}
		text, err := json.Marshal(map[string]any{"service::catalog": services})
		if err != nil {
			t.Fatal(err)
		}
		got := readBack(t, text, class)
		if diff := cmp.Diff(want, got, compareAddrs); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// A value without a list around it is refused or read as it was, and never
// anything besides.
func TestCatalogValuesAreRefusedOrReadAsWritten(t *testing.T) {
	var refused, read int
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringOf(rapid.RuneFrom([]rune(odd+"\n\r\t\x00\u0085\u2028\u00a0"))).Draw(t, "value")
		text := fmt.Appendf(nil, `web: {sites: [dc1], state: production, port: 80, ip: {dc1: {default: 192.0.2.1}},
			lvs: {class: low, conftool: {cluster: c, service: s}, monitors: {UDP: {x: %s}}}}`, strconv.QuoteToASCII(value))
		if _, err := catalog.Parse(text, "f"); err != nil {
			refused++
			return
		}
		read++
		got := readBack(t, text, "low")
		want := []lb.Monitor{{Kind: "UDP", Options: map[string][]string{"x": {value}}}}
		if len(got) != 1 || !cmp.Equal(got[0].Monitors, want) {
			t.Fatalf("%q: %+v", value, got)
		}
	})
	if !testing.Short() && (refused == 0 || read == 0) { // which draws too few values
		t.Errorf("%d refused, %d read: one of them is not tested", refused, read)
	}
}

// readBack has a catalog written for a class at dc1 and returns what lbd reads.
func readBack(t *rapid.T, text []byte, class string) []lb.Service {
	c, err := catalog.Parse(text, "f")
	if err != nil {
		t.Fatal(err)
	}
	selected, err := c.Select("dc1", class)
	if err != nil {
		t.Fatal(err)
	}
	for i := range selected.Sections {
		selected.Sections[i].Source = "etcd://h:1/" + selected.Sections[i].Entry + "/"
	}
	conf, err := selected.Format([]byte("[global]\nbgp = yes\nbgp-local-asn = 1\nbgp-peer-address = ::1\nbgp-router-id = 192.0.2.1\n"+
		"bgp-nexthop-ipv4 = 192.0.2.1\nbgp-nexthop-ipv6 = ::1"), "g")
	if err != nil {
		t.Fatal(err)
	}
	config, err := ParseConfig(conf, "f", nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, conf)
	}
	if len(config.Ignored) > 0 {
		t.Fatalf("ignored: %q", config.Ignored)
	}
	return config.Services
}

// The catalog's words are lbd's.
func TestCatalogKnowsWhatLbdKnows(t *testing.T) {
	if diff := cmp.Diff(schedulers(), catalog.Schedulers()); diff != "" {
		t.Errorf("schedulers (-lbd +catalog):\n%s", diff)
	}
	for _, kind := range catalog.Monitors() {
		if _, err := health.Validate(lb.Monitor{Kind: kind}); err != nil && strings.Contains(err.Error(), "unknown kind") {
			t.Error(err)
		}
	}
}

// realCatalog returns a real site's catalog and where it is.
func realCatalog(t *testing.T) (path string, services map[string]realService) {
	t.Helper()
	dir := os.Getenv("SLUICE_SITE_DATA")
	if dir == "" {
		dir = "../../../shared/data"
	}
	path = filepath.Join(dir, "service-catalog.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Skipf("SKIPPED: no real site data beside the checkout (%v); set SLUICE_SITE_DATA to its directory", err)
	}
	var file map[string]map[string]realService
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return path, file["service::catalog"]
}

// realService is what this test itself reads of a service.
type realService struct {
	IP    map[string]map[string]string
	Sites []string
	State string
	LVS   *struct{ Class string }
}

func (s realService) carried() bool {
	return s.LVS != nil && s.State != "service_setup"
}

// Every balancer of a real site gets a configuration that lbd finds no fault
// with, and as many services as the catalog has addresses for it.
func TestRealCatalog(t *testing.T) {
	path, services := realCatalog(t)
	counts := map[string]map[string]int{} // sections by site and class
	balanced := 0
	for _, s := range services {
		balanced += map[bool]int{true: 1}[s.LVS != nil]
		if !s.carried() {
			continue
		}
		for _, site := range s.Sites {
			if counts[site] == nil {
				counts[site] = map[string]int{}
			}
			counts[site][s.LVS.Class] += len(s.IP[site])
			counts[site][catalog.Secondary] += len(s.IP[site])
		}
	}
	if len(counts) == 0 {
		t.Fatalf("%s declares no service", path)
	}
	all, _ := json.Marshal(counts)
	t.Logf("%d services, %d of them balanced: %s", len(services), balanced, all)
	for site := range counts {
		for _, class := range classesOf(services) {
			conf := generate(t, path, site, class)
			got := checkConfig(t, conf)
			if want := fmt.Sprintf("%s: no errors, services: %d\n", conf, counts[site][class]); got != want {
				t.Errorf("%s, %s: got %q, want %q", site, class, got, want)
			}
		}
	}
}

func classesOf(services map[string]realService) []string {
	classes := []string{catalog.Secondary}
	for _, s := range services {
		if s.LVS != nil && !slices.Contains(classes, s.LVS.Class) {
			classes = append(classes, s.LVS.Class)
		}
	}
	return classes
}

// generate runs confctl generate lbd, without a store.
func generate(t *testing.T, path, site, class string) (conf string) {
	t.Helper()
	conf = filepath.Join(t.TempDir(), "pybal.conf")
	var stdout, stderr strings.Builder
	code := cli.Confctl(t.Context(), cli.Env{
		Args:  []string{"generate", "lbd", "--catalog", path, "--site", site, "--class", class, "--out", conf, "--source", "http://h/{site}/{cluster}/{service}"},
		Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr,
		Getenv: func(string) string { return "" }, Hostname: os.Hostname,
	})
	if code != 0 || stderr.Len() > 0 {
		t.Fatalf("exit %d: %s", code, stderr.String())
	}
	return conf
}

// checkConfig returns what lbd check-config says of a file.
func checkConfig(t *testing.T, conf string) string {
	t.Helper()
	var stdout, stderr strings.Builder
	code := Main(t.Context(), Env{Args: []string{"check-config", conf}, Stdout: &stdout, Stderr: &stderr, Getenv: func(string) string { return "" }})
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, stderr.String())
	}
	return stdout.String()
}
