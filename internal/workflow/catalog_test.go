package workflow

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-lb/sluice/pkg/lbverify"
)

const sampleCatalog = `
web:
  cluster: appserver
  service: nginx
  port: 443
  servers: [lvs1001, "lvs1002:8080", "[2001:db8::1]:9091", "2001:db8::2"]
text:
  cluster: cache
  service: https
  port: 80
  servers: &all
    - lvs1
  lb_pools: [textlb_80, textlb6_80]
other: {cluster: c, service: s, port: 1, servers: *all}
`

func TestParseCatalog(t *testing.T) {
	c, err := ParseCatalog([]byte(sampleCatalog), "local.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Pick([]string{"text", "web", "text"})
	if err != nil {
		t.Fatal(err)
	}
	want := []Entry{
		{Pool: "text", Cluster: "cache", Service: "https", LBPools: []string{"textlb_80", "textlb6_80"},
			Balancers: []lbverify.Balancer{{Name: "lvs1", URL: "http://lvs1:9090"}}},
		{Pool: "web", Cluster: "appserver", Service: "nginx", LBPools: []string{"web_443"},
			Balancers: []lbverify.Balancer{
				{Name: "lvs1001", URL: "http://lvs1001:9090"},
				{Name: "lvs1002:8080", URL: "http://lvs1002:8080"},
				{Name: "[2001:db8::1]:9091", URL: "http://[2001:db8::1]:9091"},
				{Name: "2001:db8::2", URL: "http://[2001:db8::2]:9090"},
			}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestPickRefuses(t *testing.T) {
	c, err := ParseCatalog([]byte(sampleCatalog), "local.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, names := range [][]string{nil, {"web", "wbe"}, {""}} {
		if got, err := c.Pick(names); !errors.Is(err, ErrRefused) || got != nil {
			t.Errorf("%q: %v, %v", names, got, err)
		}
	}
	_, err = c.Pick([]string{"web", "wbe", "txt"})
	if want := `refused: catalog local.yaml has no pool "wbe", "txt"`; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	for _, empty := range []string{"", "---\n", "# nothing\n", "{}"} {
		c, err := ParseCatalog([]byte(empty), "f")
		if _, pickErr := c.Pick([]string{"web"}); err != nil || !errors.Is(pickErr, ErrRefused) {
			t.Errorf("%q: %v, %v", empty, err, pickErr)
		}
	}
}

func TestParseCatalogErrors(t *testing.T) {
	const good = "web:\n  cluster: a\n  service: b\n  port: 80\n  servers: [lvs1]\n"
	for _, c := range []struct{ name, text, want string }{
		{"duplicate pool", good + good, "catalog f:6: web stands in line 1 already"},
		{"duplicate key", good + "  port: 81\n", "catalog f:6: port stands in line 4 already"},
		{"unknown key", good + "  sevrers: [x]\n", "catalog f:6: pool web: unknown key sevrers"},
		{"no cluster", strings.Replace(good, "  cluster: a\n", "", 1), "catalog f:1: pool web: cluster is missing"},
		{"slash", strings.Replace(good, "cluster: a", "cluster: a/b", 1), "cluster is missing or no tag"},
		{"no service", strings.Replace(good, "service: b", "service:", 1), "service is missing"},
		{"no port", strings.Replace(good, "  port: 80\n", "", 1), "port is missing"},
		{"odd port", strings.Replace(good, "80", "http", 1), "catalog f:4: pool web: port: want a number"},
		{"big port", strings.Replace(good, "80", "65536", 1), "no port"},
		{"no servers", strings.Replace(good, "[lvs1]", "[]", 1), "servers is missing or empty"},
		{"servers no list", strings.Replace(good, "[lvs1]", "lvs1", 1), "catalog f:5: pool web: servers: want a list of names"},
		{"odd server", strings.Replace(good, "[lvs1]", "['lvs1:http']", 1), `server "lvs1:http": want HOST`},
		{"URL", strings.Replace(good, "[lvs1]", "['http://lvs1']", 1), "want HOST or HOST:PORT"},
		{"empty server", strings.Replace(good, "[lvs1]", "['']", 1), "want HOST or HOST:PORT"},
		{"no lb pool", good + "  lb_pools: []\n", "lb_pools is empty"},
		{"list", "- web\n", "catalog f:1: want a mapping"},
		{"scalar entry", "web: x\n", "catalog f:1: want a mapping"},
		{"merge", good + "v:\n  <<: {port: 1}\n", "catalog f:7: want a name"},
		{"two documents", good + "---\n" + good, "want one document"},
		{"no YAML", "web: [\n", "catalog f: yaml: line"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseCatalog([]byte(c.text), "f")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// FuzzParseCatalog: no input panics, and whatever parses can be used.
func FuzzParseCatalog(f *testing.F) {
	f.Add(sampleCatalog)
	f.Add("a: &a {cluster: *a}\n")
	f.Add("a: *b")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCatalog([]byte(text), "f")
		if err != nil {
			return
		}
		for name, e := range c.entries {
			if e.Pool != name || e.Cluster == "" || e.Service == "" || len(e.LBPools) == 0 || len(e.Balancers) == 0 {
				t.Errorf("took %+v", e)
			}
		}
	})
}
