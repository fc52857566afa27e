package lbd

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRegistration(t *testing.T) {
	for _, c := range []struct {
		name, conf string
		on         bool
		urls       []string
		wrong      string
	}{
		{name: "no instrumentation", conf: "instrumentation = no\ninstrumentation_ips = ['192.0.2.1']", urls: []string{"http://192.0.2.1:9090"}},
		{name: "only every machine's own addresses", conf: "instrumentation = yes"},
		{name: "every address", conf: "instrumentation = yes\ninstrumentation_ips = ['', '::']"},
		{
			name: "the first address of its own", on: true, urls: []string{"http://192.0.2.1:9191"},
			conf: "instrumentation = yes\ninstrumentation_port = 9191\ninstrumentation_ips = ['127.0.0.1', '127.0.0.7', '192.0.2.1', '192.0.2.2']",
		},
		{
			name: "HTTPS", on: true, urls: []string{"https://192.0.2.1:9090"},
			conf: "instrumentation = yes\ninstrumentation_ips = ['192.0.2.1']\ninstrumentation-tls-cert = /c.pem\ninstrumentation-tls-key = /k.pem",
		},
		{name: "a certificate without its key", conf: "instrumentation-tls-cert = /c.pem",
			wrong: "lbd.conf: line 2: [global] instrumentation-tls-cert: needs instrumentation-tls-key"},
		{name: "a key without its certificate", conf: "instrumentation-tls-key = /k.pem",
			wrong: "lbd.conf: line 2: [global] instrumentation-tls-key: needs instrumentation-tls-cert"},
		{name: "IPv6", on: true, urls: []string{"http://[2001:db8::1]:9090"}, conf: "instrumentation = yes\ninstrumentation_ips = ['::1', '2001:db8::1']"},
		{name: "a loopback address of its own", on: true, urls: []string{"http://127.0.0.7:9090"}, conf: "instrumentation = yes\ninstrumentation_ips = ['127.0.0.7']"},
		{name: "told not to", urls: []string{"http://192.0.2.1:9090"}, conf: "instrumentation = yes\nregister = no\ninstrumentation_ips = ['192.0.2.1']"},
		{
			name: "told where", on: true, urls: []string{"https://lb1.example:9443", "http://192.0.2.9:9090"},
			conf: "instrumentation = yes\nadvertise = ['https://lb1.example:9443', 'http://192.0.2.9:9090']",
		},
		{name: "told to, with nowhere to go", conf: "instrumentation = yes\nregister = yes", wrong: "nobody could reach"},
		{name: "no URL", conf: "instrumentation = yes\nadvertise = ['lb1:9090']", wrong: "is no URL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config, err := ParseConfig([]byte("[global]\n"+c.conf+"\n"), "lbd.conf", nil)
			if c.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), c.wrong) {
					t.Fatalf("got %v, want %q", err, c.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if config.Global.Registration.On != c.on {
				t.Errorf("registers: %v, want %v", config.Global.Registration.On, c.on)
			}
			if diff := cmp.Diff(c.urls, config.Global.StatusURLs()); diff != "" {
				t.Errorf("URLs (-want +got):\n%s", diff)
			}
		})
	}
}
