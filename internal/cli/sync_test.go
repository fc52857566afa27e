package cli

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree is the files that name exactly the base state.
func tree() map[string]string {
	return map[string]string{
		"node/eqiad.yaml": "eqiad:\n  cache_text:\n    cp1001: [https, varnish]\n    cp1002: [https, varnish]\n    cp1003: [https]\n" +
			"  appservers:\n    mw1001: [apache]\n",
		"node/codfw.yaml": "codfw:\n  cache_text:\n    cp2001: [https]\n",
	}
}

// many are twenty more nodes, none of them pooled, so that one is not much.
func many() (objects map[string]string, file string) {
	objects = make(map[string]string)
	file = "esams:\n  text:\n"
	for c := 'a'; c < 'a'+20; c++ {
		objects["pools/esams/text/https/cp"+string(c)] = `{"weight": 1, "pooled": "no"}`
		file += "    cp" + string(c) + ": [https]\n"
	}
	return objects, file
}

func TestSync(t *testing.T) {
	client := startEtcd(t)
	esams, esamsFile := many()
	const fresh = `{"weight": 0, "pooled": "inactive"}`
	tests := []struct {
		name    string
		files   map[string]string // over tree; "" removes
		extra   map[string]string // over base and many
		args    string
		want    ran
		changes map[string]string
	}{
		{"nothing to do", nil, nil, "", ran{0, "node: 0 created, 0 removed, 27 kept\n", ""}, nil},
		{"create", map[string]string{"node/new.yaml": "eqiad:\n  cache_text:\n    cp1004: [https, varnish]\n    cp1001: [https]\n"}, nil, "",
			ran{0, "node: 2 created, 0 removed, 27 kept\n", ""},
			map[string]string{"pools/eqiad/cache_text/https/cp1004": fresh, "pools/eqiad/cache_text/varnish/cp1004": fresh}},
		{"remove", map[string]string{"node/codfw.yaml": ""}, nil, "", ran{0, "node: 0 created, 1 removed, 26 kept\n", ""},
			map[string]string{"pools/codfw/cache_text/https/cp2001": ""}},
		{"dry run", map[string]string{"node/codfw.yaml": "drmrs:\n  x:\n    h: [s]\n"}, nil, "--dry-run",
			ran{0, "would create node drmrs/x/s/h\nwould remove node codfw/cache_text/https/cp2001\nnode: 1 to create, 1 to remove, 26 to keep\n", ""}, nil},
		{"pooled", map[string]string{"node/eqiad.yaml": strings.Replace(tree()["node/eqiad.yaml"], "  appservers:\n    mw1001: [apache]\n", "", 1)}, nil, "",
			ran{1, "node: 0 created, 0 removed, 27 kept\n", "node eqiad/appservers/apache/mw1001 is pooled: nothing removed without --force\n"}, nil},
		{"pooled, forced", map[string]string{"node/eqiad.yaml": strings.Replace(tree()["node/eqiad.yaml"], "  appservers:\n    mw1001: [apache]\n", "", 1)}, nil, "--force",
			ran{0, "node: 0 created, 1 removed, 26 kept\n", ""}, map[string]string{"pools/eqiad/appservers/apache/mw1001": ""}},
		{"too many", map[string]string{"node/esams.yaml": "", "node/new.yaml": "drmrs:\n  x:\n    h: [s]\n"}, nil, "",
			ran{1, "node: 1 created, 0 removed, 27 kept\n", "node: 20 of 27 objects would be removed: nothing removed without --force\n"},
			map[string]string{"pools/drmrs/x/s/h": fresh}},
		{"unreadable object", nil, map[string]string{"pools/x/x/x/x": "{"}, "",
			ran{1, "node: 0 created, 0 removed, 28 kept\n", "node x/x/x/x: malformed JSON"}, nil},
		{"broken file", map[string]string{"node/codfw.yaml": "codfw: [", "node/new.yaml": "drmrs:\n  x:\n    h: [s]\n"}, nil, "--force",
			ran{1, "node: 1 created, 0 removed, 27 kept\n", "node/codfw.yaml: yaml: "}, map[string]string{"pools/drmrs/x/s/h": fresh}},
		{"duplicate key", map[string]string{"node/codfw.yaml": "codfw:\n  a: {h: [s]}\n  a: {i: [s]}\n"}, nil, "--force",
			ran{1, "node: 0 created, 0 removed, 27 kept\n", "node/codfw.yaml:3: codfw: a is there twice, first on line 2"}, nil},
		{"directory missing", map[string]string{"node/codfw.yaml": "", "node/eqiad.yaml": "", "node/esams.yaml": "", "README": "x"}, nil, "--force",
			ran{1, "", "/node: nothing removed"}, nil},
		{"directory empty", map[string]string{"node/codfw.yaml": "", "node/eqiad.yaml": "", "node/esams.yaml": "", "node/README": "x"}, nil, "--force",
			ran{1, "node: 0 created, 0 removed, 27 kept\n", "no *.yaml in "}, nil},
		{"several types", map[string]string{"discovery/services.yaml": "search: &s [eqiad, codfw]\nother: *s\n"},
			map[string]string{"discovery/search/eqiad": `{"pooled": true}`}, "", ran{0, "node: 0 created, 0 removed, 27 kept\ndiscovery: 3 created, 0 removed, 1 kept\n", ""},
			map[string]string{
				"discovery/search/codfw": `{"pooled": false, "references": [], "ttl": 300}`,
				"discovery/other/codfw":  `{"pooled": false, "references": [], "ttl": 300}`,
				"discovery/other/eqiad":  `{"pooled": false, "references": [], "ttl": 300}`}},
		{"another type's directory missing", nil, map[string]string{"discovery/search/eqiad": `{}`}, "",
			ran{1, "node: 0 created, 0 removed, 27 kept\n", "discovery: no directory "}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := base()
			maps.Copy(before, esams)
			maps.Copy(before, tt.extra)
			w := newWorld(t, client, before)
			files := tree()
			files["node/esams.yaml"] = esamsFile
			maps.Copy(files, tt.files)
			for name, content := range files {
				if content != "" {
					w.file(filepath.Join("data", name), content)
				}
			}
			w.run(Confctl, append([]string{"sync", filepath.Join(w.dir, "data")}, strings.Fields(tt.args)...)...).wants(t, tt.want)
			w.wants(before, tt.changes)
		})
	}
}

func TestSyncTwiceWritesOnce(t *testing.T) {
	w := newWorld(t, startEtcd(t), nil)
	for name, content := range tree() {
		w.file(filepath.Join("data", name), content)
	}
	dir := filepath.Join(w.dir, "data")
	w.run(Confctl, "sync", dir).wants(t, ran{0, "node: 7 created, 0 removed, 0 kept\n", ""})
	before := w.revision()
	w.run(Confctl, "sync", dir).wants(t, ran{0, "node: 0 created, 0 removed, 7 kept\n", ""})
	if w.revision() != before {
		t.Error("the second run wrote something")
	}
}

func TestSyncWithoutItsDirectory(t *testing.T) {
	w := newWorld(t, startEtcd(t), base())
	w.run(Confctl, "sync", "/nonexistent").wants(t, ran{2, "", "read directory /nonexistent: no such file or directory"})
	w.run(Confctl, "sync", w.file("f", "")).wants(t, ran{2, "", "not a directory"})
	w.wants(base(), nil)
}

// A real site's tree: 859 nodes, in more than one transaction.
func TestSyncSiteData(t *testing.T) {
	dir := os.Getenv("SLUICE_SITE_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(dir, "conftool-data")); err != nil {
		t.Skipf("NO SITE DATA: set SLUICE_SITE_DATA to a directory with conftool-data: %v", err)
	}
	w := newWorld(t, startEtcd(t), nil)
	w.vars["SLUICE_SCHEMA"] = filepath.Join(dir, "schema.yaml")
	w.run(Confctl, "sync", filepath.Join(dir, "conftool-data")).wants(t, ran{0,
		"node: 859 created, 0 removed, 0 kept\ndiscovery: 160 created, 0 removed, 0 kept\n", ""})
	if n := len(w.stored()); n != 859+160 {
		t.Errorf("%d objects stored", n)
	}
}
