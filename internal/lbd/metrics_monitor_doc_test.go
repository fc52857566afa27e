package lbd

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-lb/sluice/internal/health"
)

// TestMonitorsDocument reads docs/monitors.md: its examples are good
// configuration with no option ignored, its tables name every option there is,
// and its metrics are those served.
func TestMonitorsDocument(t *testing.T) {
	data, err := os.ReadFile("../../docs/monitors.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(data)
	examples := regexp.MustCompile("(?s)```ini\n(.*?)```").FindAllStringSubmatch(doc, -1)
	if len(examples) < 8 {
		t.Errorf("%d examples", len(examples))
	}
	for _, example := range examples {
		const service = "[a]\nprotocol = tcp\nip = 192.0.2.1\nport = 80\nscheduler = wrr\nconfig = etcd://etcd.example:2379/x/\n"
		config, err := ParseConfig([]byte(service+example[1]), "monitors.md", health.Validate)
		if err != nil {
			t.Errorf("%v in\n%s", err, example[1])
		} else if len(config.Ignored) > 0 {
			t.Errorf("ignored: %v in\n%s", config.Ignored, example[1])
		}
	}
	for _, section := range strings.Split(doc, "\n## ")[1:] {
		kind, text, _ := strings.Cut(section, "\n")
		if kind == "Every monitor" || kind == "Metrics" {
			continue
		}
		if !strings.Contains(text, `monitors = [ "`+kind+`" ]`) {
			t.Errorf("%s has no example", kind)
		}
		checkOptions(t, kind, documentedOptions(text))
		for _, line := range regexp.MustCompile(`(?m)^([a-z]+)\.([\w-]+) =`).FindAllStringSubmatch(text, -1) {
			if line[1] == strings.ToLower(kind) && line[2] != "rise" && line[2] != "fall" && !slices.Contains(documentedOptions(text), line[2]) {
				t.Errorf("%s: the example's %s is in no table", kind, line[2])
			}
		}
	}
	descs := make(chan *prometheus.Desc, 64)
	newMonitorCollector(nil).Describe(descs)
	close(descs)
	for desc := range descs {
		name := strings.Split(desc.String(), `"`)[1]
		if !strings.Contains(doc, "`"+name+"`") {
			t.Errorf("metric %s is not documented", name)
		}
	}
}

// documentedOptions returns the options of a section's table.
func documentedOptions(section string) []string {
	var names []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([\\w-]+)` \\|").FindAllStringSubmatch(section, -1) {
		names = append(names, row[1])
	}
	return names
}

// checkOptions compares the documented options of a kind with those its
// source reads.
func checkOptions(t *testing.T, kind string, documented []string) {
	t.Helper()
	sources := map[string][]string{
		"IdleConnection": {"idle.go"},
		"ProxyFetch":     {"proxyfetch.go", "expect.go", "trust.go", "+rhythm"},
		"DNSQuery":       {"dnsquery.go", "+rhythm"},
		"UDP":            {"udp.go"},
		"TCPConnect":     {"tcpconnect.go", "+rhythm"},
		"RunCommand":     {"runcommand.go"},
		"GRPCHealth":     {"grpchealth.go", "trust.go", "+rhythm"},
	}[kind]
	reads := regexp.MustCompile(`\bo\.(?:plain|list|seconds|whole|yes|get)[(\[]"([\w-]+)"`)
	read := map[string]bool{}
	for _, name := range sources {
		if name == "+rhythm" {
			read["interval"], read["timeout"] = true, true
			continue
		}
		source, err := os.ReadFile(filepath.Join("../health", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range reads.FindAllStringSubmatch(string(source), -1) {
			read[match[1]] = true
		}
	}
	for name := range read {
		if !slices.Contains(documented, name) {
			t.Errorf("%s: option %s is not documented", kind, name)
		}
	}
	for _, name := range documented {
		if !read[name] {
			t.Errorf("%s: documented option %s does not exist", kind, name)
		}
	}
	if len(documented) == 0 {
		t.Errorf("%s: no options", kind)
	}
}
