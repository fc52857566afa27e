package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.yaml.in/yaml/v3"

	"github.com/sluice-lb/sluice/internal/poolfile"
)

// realSite is a real site's tree in a store, every other node of it pooled and
// the rest inactive, and what that makes of pools: enabled servers by pool.
func realSite(t *testing.T) (w *world, pools map[string][]string) {
	t.Helper()
	dir := os.Getenv("SLUICE_SITE_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(dir, "conftool-data")); err != nil {
		t.Skipf("NO SITE DATA: set SLUICE_SITE_DATA to a directory with conftool-data: %v", err)
	}
	w = newWorld(t, startEtcd(t), nil)
	w.vars["SLUICE_SCHEMA"] = filepath.Join(dir, "schema.yaml")
	if r := w.run(Confctl, "sync", filepath.Join(dir, "conftool-data")); r.code != 0 {
		t.Fatal(r)
	}
	pools = map[string][]string{}
	var puts []clientv3.Op
	for i, key := range slices.Sorted(maps.Keys(w.stored())) {
		path, ok := strings.CutPrefix(key, "pools/")
		if !ok {
			continue
		}
		cut := strings.LastIndex(path, "/")
		pool, host, value := path[:cut], path[cut+1:], `{"weight": 1, "pooled": "inactive"}`
		hosts := pools[pool]
		if i%2 == 0 {
			hosts = append(hosts, host)
			value = `{"weight": 1, "pooled": "yes"}`
		}
		pools[pool] = hosts // of which there may be none
		puts = append(puts, clientv3.OpPut(w.space+"/v1/"+key, value))
	}
	for chunk := range slices.Chunk(puts, 100) {
		if _, err := w.client.Txn(t.Context()).Then(chunk...).Commit(); err != nil {
			t.Fatal(err)
		}
	}
	return w, pools
}

// out makes a directory to write to.
func (w *world) out(name string) string {
	w.t.Helper()
	dir := filepath.Join(w.dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	return dir
}

// filesBelow returns the contents of all files below a directory, by name.
func filesBelow(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, dir+"/")] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Every pool of a real site is in its file, and reads back as it was stored. A
// pool without anybody has none.
func TestGenerateARealSite(t *testing.T) {
	w, pools := realSite(t)
	for _, form := range []poolfile.Form{poolfile.Dict, poolfile.JSON} {
		dir := w.out("by-cluster-" + string(form))
		if r := w.run(Confctl, "generate", "pybal", "--by-cluster", "--form", string(form), "--out", dir); r.code != 0 || r.stderr != "" {
			t.Fatal(r)
		}
		got := map[string][]string{}
		for name, text := range filesBelow(t, dir) {
			got[strings.TrimSuffix(name, ".json")] = servers(t, text, form)
		}
		want := maps.Clone(pools)
		maps.DeleteFunc(want, func(_ string, hosts []string) bool { return len(hosts) == 0 })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", form, diff)
		}
	}
}

// servers reads a pool file and returns its hosts, which are all enabled and of
// weight 1.
func servers(t *testing.T, text string, form poolfile.Form) (hosts []string) {
	t.Helper()
	entries, problems := poolfile.Parse([]byte(text), form)
	for _, e := range entries {
		if e != (poolfile.Entry{Host: e.Host, Weight: 1, Enabled: true}) {
			t.Errorf("entry %+v", e)
		}
		hosts = append(hosts, e.Host)
	}
	if len(problems) > 0 {
		t.Error(problems)
	}
	return hosts
}

// Without --by-cluster a name that two clusters of a site share is refused, and
// only those are.
func TestGenerateARealSiteByServiceAlone(t *testing.T) {
	w, pools := realSite(t)
	sharing := map[string][]string{}
	for pool := range pools {
		parts := strings.Split(pool, "/")
		name := parts[0] + "/" + parts[2]
		sharing[name] = append(sharing[name], pool)
	}
	dir := w.out("pybal")
	r := w.run(Confctl, "generate", "pybal", "--out", dir)
	got, refused, without := filesBelow(t, dir), 0, 0
	for name, of := range sharing {
		switch {
		case len(of) > 1:
			refused++
			if _, ok := got[name]; ok || !strings.Contains(r.stderr, "confctl: "+name+": both ") {
				t.Errorf("%s of %q is not refused", name, of)
			}
		case len(pools[of[0]]) == 0:
			without++
		default:
			if diff := cmp.Diff(pools[of[0]], servers(t, got[name], poolfile.Dict)); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
	if n := strings.Count(r.stderr, "\n"); r.code != exitFailure || n != refused || len(got) != len(sharing)-refused-without {
		t.Errorf("exit %d, %d files, %d refused, %d without servers:\n%s", r.code, len(got), refused, without, r.stderr)
	}
	t.Logf("%d pools, %d names of a site, %d of them shared by clusters", len(pools), len(sharing), refused)
}

// By a catalog every load-balanced service of it has the file of its pool, as
// Wikimedia's config-master has, and no other pool has any.
func TestGenerateARealSiteByCatalog(t *testing.T) {
	w, pools := realSite(t)
	file := filepath.Join(filepath.Dir(w.vars["SLUICE_SCHEMA"]), "service-catalog.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]map[string]struct {
		State string
		Sites []string
		LVS   *struct {
			Conftool struct{ Cluster, Service string }
		} `yaml:"lvs"`
	}
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{}
	for name, s := range doc["service::catalog"] {
		if s.LVS == nil || s.State == "service_setup" {
			continue
		}
		for _, site := range s.Sites {
			if hosts := pools[site+"/"+s.LVS.Conftool.Cluster+"/"+s.LVS.Conftool.Service]; len(hosts) > 0 {
				want[site+"/"+name] = hosts
			}
		}
	}
	dir := w.out("catalog")
	if r := w.run(Confctl, "generate", "pybal", "--catalog", file, "--out", dir); r.code != 0 || r.stderr != "" {
		t.Fatal(r)
	}
	got := map[string][]string{}
	for name, text := range filesBelow(t, dir) {
		got[name] = servers(t, text, poolfile.Dict)
	}
	if diff := cmp.Diff(want, got); diff != "" || len(got) < 100 {
		t.Errorf("%d files (-want +got):\n%s", len(got), diff)
	}
}

func TestGenerateARealSitesGroups(t *testing.T) {
	w, pools := realSite(t)
	dir := w.out("dsh")
	if r := w.run(Confctl, "generate", "dsh", "--out", dir); r.code != 0 || r.stderr != "" {
		t.Fatal(r)
	}
	want, got := map[string]map[string]bool{}, map[string]map[string]bool{}
	for pool, hosts := range pools {
		parts := strings.Split(pool, "/")
		name := parts[1] + "-" + parts[2]
		for _, host := range hosts {
			if want[name] == nil {
				want[name] = map[string]bool{}
			}
			want[name][host] = true
		}
	}
	for name, text := range filesBelow(t, dir) {
		got[name] = map[string]bool{}
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "#") {
				got[name][strings.TrimSpace(line)] = true
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The example templates cope with a real site, and tell the truth of it.
func TestExampleTemplatesOnARealSite(t *testing.T) {
	w, pools := realSite(t)
	dir := w.out("templates")
	templates, err := filepath.Glob("../../docs/examples/templates/*.tmpl")
	if err != nil || len(templates) < 7 {
		t.Fatalf("%q, %v", templates, err)
	}
	// A real tree names sites, but keeps no geodns objects.
	args := []string{"generate", "--allow-empty"}
	for _, file := range templates {
		args = append(args, "--template", file, "--out", filepath.Join(dir, strings.TrimSuffix(filepath.Base(file), ".tmpl")))
	}
	if r := w.run(Confctl, args...); r.code != 0 || r.stderr != "" {
		t.Fatal(r)
	}
	got := filesBelow(t, dir)
	var sites map[string]map[string]map[string]map[string]struct {
		Weight int
		Pooled bool
	}
	if err := json.Unmarshal([]byte(got["pools.json"]), &sites); err != nil {
		t.Fatal(err)
	}
	pooled := map[string][]string{}
	for dc, clusters := range sites {
		for cluster, hosts := range clusters {
			for _, host := range slices.Sorted(maps.Keys(hosts)) {
				for service, n := range hosts[host] {
					pool := fmt.Sprint(dc, "/", cluster, "/", service)
					hosts := pooled[pool]
					if n.Pooled && n.Weight == 1 {
						hosts = append(hosts, host)
					}
					pooled[pool] = hosts
				}
			}
		}
	}
	if diff := cmp.Diff(pools, pooled); diff != "" {
		t.Errorf("pools.json (-want +got):\n%s", diff)
	}
	var targets []struct{ Targets []string }
	if err := json.Unmarshal([]byte(got["prometheus-file_sd.json"]), &targets); err != nil {
		t.Error(err)
	}
	n := 0
	for _, group := range targets {
		n += len(group.Targets)
	}
	want := 0
	for _, hosts := range pools {
		want += len(hosts)
	}
	if n != want {
		t.Errorf("%d targets of %d", n, want)
	}
	if text := got["gdnsd-discovery.state"]; !strings.Contains(text, "192.0.2.30 => DOWN/300\n") {
		t.Errorf("discovery state:\n%s", text)
	}
}
