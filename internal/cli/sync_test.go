package cli

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-lb/sluice/pkg/state"
)

// treeFiles are the files that name exactly the base state.
func treeFiles() map[string]string {
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
		files   map[string]string // over treeFiles; "" removes
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
		{"pooled", map[string]string{"node/eqiad.yaml": strings.Replace(treeFiles()["node/eqiad.yaml"], "  appservers:\n    mw1001: [apache]\n", "", 1)}, nil, "",
			ran{1, "node: 0 created, 0 removed, 27 kept\n", "node eqiad/appservers/apache/mw1001 is pooled: nothing removed without --force\n"}, nil},
		{"pooled, forced", map[string]string{"node/eqiad.yaml": strings.Replace(treeFiles()["node/eqiad.yaml"], "  appservers:\n    mw1001: [apache]\n", "", 1)}, nil, "--force",
			ran{0, "node: 0 created, 1 removed, 26 kept\n", ""}, map[string]string{"pools/eqiad/appservers/apache/mw1001": ""}},
		{"too many", map[string]string{"node/esams.yaml": "", "node/new.yaml": "drmrs:\n  x:\n    h: [s]\n"}, nil, "",
			ran{1, "node: 1 created, 0 removed, 27 kept\n", "node: 20 of 27 objects would be removed, more than 10%: nothing removed without --force\n"},
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
			files := treeFiles()
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
	for name, content := range treeFiles() {
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

func TestSyncShare(t *testing.T) {
	client := startEtcd(t)
	esams, _ := many()
	for _, tt := range []struct {
		args string
		code int
	}{{"--max-removed 80%", 0}, {"--max-removed 70", 1}, {"--max-removed 0%", 1}, {"--max-removed 101%", 2}, {"--max-removed NaN", 2}, {"--max-removed some", 2}} {
		t.Run(tt.args, func(t *testing.T) {
			before := base()
			maps.Copy(before, esams)
			w := newWorld(t, client, before)
			for name, content := range treeFiles() {
				w.file(filepath.Join("data", name), content)
			}
			got := w.run(Confctl, append([]string{"sync", filepath.Join(w.dir, "data")}, strings.Fields(tt.args)...)...)
			if left := len(w.stored()); got.code != tt.code || (left == len(base())) != (tt.code == 0) {
				t.Errorf("exit %d, want %d; %d objects are left: %s", got.code, tt.code, left, got.stderr)
			}
		})
	}
}

// What stands in a tree that is no plain file of it: nothing is read from
// elsewhere, nothing is waited for, nothing is removed.
func TestSyncOddFiles(t *testing.T) {
	client := startEtcd(t)
	tests := []struct {
		name string
		make func(dir string) error
		want string
	}{
		{"link out of the tree", func(dir string) error { return os.Symlink("/etc/hostname", dir+"/node/x.yaml") }, "node/x.yaml: link to /etc/hostname: path escapes from parent"},
		{"link upwards", func(dir string) error { return os.Symlink("../../config.yaml", dir+"/node/x.yaml") }, "node/x.yaml: link to ../../config.yaml: path escapes"},
		{"dangling link", func(dir string) error { return os.Symlink("gone", dir+"/node/x.yaml") }, "node/x.yaml: link to gone: no such file"},
		{"link to itself", func(dir string) error { return os.Symlink("x.yaml", dir+"/node/x.yaml") }, "node/x.yaml: link to x.yaml: too many"},
		{"pipe", func(dir string) error { return syscall.Mkfifo(dir+"/node/x.yaml", 0o644) }, "node/x.yaml: not a regular file"},
		{"directory", func(dir string) error { return os.Mkdir(dir+"/node/x.yaml", 0o755) }, "node/x.yaml: not a regular file"},
		{"huge", func(dir string) error { return os.Truncate(dir+"/node/eqiad.yaml", 1<<40) }, "node/eqiad.yaml: larger than 16777216 bytes"},
		{"linked directory", func(dir string) error {
			return errors.Join(os.RemoveAll(dir+"/node"), os.Symlink("/etc", dir+"/node"))
		}, "/node: path escapes from parent"},
		{"file for a directory", func(dir string) error {
			return errors.Join(os.RemoveAll(dir+"/node"), os.WriteFile(dir+"/node", nil, 0o644))
		}, "/node: not a directory"},
		{"tab", func(dir string) error {
			return os.WriteFile(dir+"/node/x.yaml", []byte("eqiad:\n\tweb: {}\n"), 0o644)
		}, "node/x.yaml:2: a tab where spaces belong"},
		{"YAML bomb", func(dir string) error {
			return os.WriteFile(dir+"/node/x.yaml", []byte(bomb()), 0o644)
		}, "nodes once aliases are expanded"},
		{"not UTF-8", func(dir string) error {
			return os.WriteFile(dir+"/node/x.yaml", []byte("eqiad:\n  w\xff: {}\n"), 0o644)
		}, "node/x.yaml: yaml: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, client, base())
			for name, content := range treeFiles() {
				w.file(filepath.Join("data", name), content)
			}
			dir := filepath.Join(w.dir, "data")
			if err := errors.Join(os.Remove(dir+"/node/codfw.yaml"), tt.make(dir)); err != nil {
				t.Fatal(err)
			}
			got := w.run(Confctl, "sync", "--force", dir)
			if got.code != 1 || !strings.Contains(got.stderr, tt.want) || strings.Count(got.stderr, "\n") != 1 || !strings.HasSuffix(got.stderr, ": nothing removed\n") {
				t.Errorf("exit %d, stderr %q, want %q", got.code, got.stderr, tt.want)
			}
			w.wants(base(), nil)
		})
	}
}

// bomb is a small file that names ten million objects by its aliases.
func bomb() string {
	var b strings.Builder
	b.WriteString("dc:\n  c0: &hosts\n    h0: &services [")
	for i := range 100 {
		fmt.Fprintf(&b, "s%d, ", i)
	}
	b.WriteString("]\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "    h%d: *services\n", i+1)
	}
	for i := range 100 {
		fmt.Fprintf(&b, "  c%d: *hosts\n", i+1)
	}
	return b.String()
}

// A tree may itself be behind a link, and link within itself.
func TestSyncLinkedTree(t *testing.T) {
	w := newWorld(t, startEtcd(t), nil)
	w.file("real/shared/some.yaml", "eqiad:\n  web:\n    n1: [http]\n")
	if err := errors.Join(os.Mkdir(w.dir+"/real/node", 0o755), os.Symlink("../shared/some.yaml", w.dir+"/real/node/x.yaml"), os.Symlink("real", w.dir+"/data")); err != nil {
		t.Fatal(err)
	}
	w.run(Confctl, "sync", w.dir+"/data").wants(t, ran{0, "node: 1 created, 0 removed, 0 kept\n", ""})
}

func TestSyncIsAlone(t *testing.T) {
	w := newWorld(t, startEtcd(t), base())
	for name, content := range treeFiles() {
		w.file(filepath.Join("data", name), content)
	}
	dir := filepath.Join(w.dir, "data")
	store, err := state.Open(state.Config{Endpoints: w.client.Endpoints(), Namespace: w.space})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	_, release, err := store.Lock(t.Context(), state.Claim{Name: syncLock, Audit: state.Audit{User: "bob", Host: "puppet1", Command: []string{"confctl", "sync", "x"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	// With nothing to do nobody has to wait.
	w.run(Confctl, "sync", "--lock-timeout=0", dir).wants(t, ran{0, "node: 0 created, 0 removed, 7 kept\n", ""})
	w.file("data/node/new.yaml", "drmrs:\n  x:\n    h: [s]\n")
	w.run(Confctl, "sync", "--dry-run", "--lock-timeout=0", dir).wants(t, ran{0, "would create node drmrs/x/s/h\nnode: 1 to create, 0 to remove, 7 to keep\n", ""})
	w.run(Confctl, "sync", "--lock-timeout=0", dir).wants(t, ran{1, "", "confctl: lock sync: held by bob@puppet1 (confctl sync x) since 2"})
	w.run(Confctl, "sync", "--lock-timeout=10ms", dir).wants(t, ran{1, "",
		"confctl: waiting for bob@puppet1 (confctl sync x)\nconfctl: lock sync: held by bob@puppet1 (confctl sync x) since 2"})
	w.wants(base(), nil)
	if got := w.run(Confctl, "locks").stdout; !strings.Contains(got, "bob@puppet1") || !strings.Contains(got, "holds") {
		t.Errorf("locks: %s", got)
	}
	release()
	w.run(Confctl, "locks", "-o", "json").wants(t, ran{0, "[]\n", ""})
	w.run(Confctl, "sync", dir).wants(t, ran{0, "node: 1 created, 0 removed, 7 kept\n", ""})
}

func TestConftoolSync(t *testing.T) {
	w := newWorld(t, startEtcd(t), base())
	for name, content := range treeFiles() {
		w.file(filepath.Join("data", name), content)
	}
	w.file("data/node/new.yaml", "drmrs:\n  x:\n    h: [s]\n")
	dir := filepath.Join(w.dir, "data")
	w.run(ConftoolSync, "--directory", dir).wants(t, ran{0, "", "node: 1 created, 0 removed, 7 kept\n"})
	w.run(ConftoolSync).wants(t, ran{2, "", "conftool-sync: no --directory DIR given"})
	w.run(ConftoolSync, dir).wants(t, ran{2, "", "is one too many (see conftool-sync --help)"})
	w.run(ConftoolSync, "--directory", "/nonexistent").wants(t, ran{2, "", "conftool-sync: read directory /nonexistent: no such file or directory"})
	if got := w.run(Confctl, "history", "--output", "json").stdout; !strings.Contains(got, `"conftool-sync",`) {
		t.Errorf("history does not say who it was: %s", got)
	}
}

// The bar is for a terminal, and is gone from it in the end.
func TestSyncProgress(t *testing.T) {
	w := newWorld(t, startEtcd(t), nil)
	text := "eqiad:\n  web:\n"
	for i := range 400 {
		text += fmt.Sprintf("    n%d: [http]\n", i)
	}
	w.file("data/node/x.yaml", text)
	shown := w.onTerminal(Confctl, "sync", w.dir+"/data")
	if !strings.Contains(shown, "objects") || !strings.Contains(shown, "/400") {
		t.Errorf("no progress is shown: %q", shown)
	}
	if last := shown[strings.LastIndex(strings.TrimRight(shown, "\r"), "\r")+1:]; strings.TrimSpace(last) != "" {
		t.Errorf("this stays on the screen: %q", last)
	}
}
