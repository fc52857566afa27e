package cli

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// odd are objects whose names and values are not what names and values are like.
func odd() map[string]string {
	return map[string]string{
		"pools/no/yes/null/~":              `{"weight": 10, "pooled": "yes"}`,
		"pools/no/yes/0x10/1e3":            "{\n \"pooled\":\"no\" ,\"x\":[1.50, \"<é>\"] }",
		"pools/a b/c: d/- e/f#g":           `{"weight": "7"}`,
		"pools/../..//.x":                  "",
		"pools/../dc/svc/host":             `{}`,
		"pools/.hidden/cl/svc/host":        `{}`,
		"pools/node/cl/svc/ключ":           `{"a": 1, "a": 2}`,
		"pools/node/cl/svc/10.0.0.1":       `{"weight": 1e400}`,
		"discovery/<</*alias":              `{"pooled": true}`,
		"discovery/search/eqiad":           `{"pooled": true, "references": [], "ttl": 300}`,
		"geodns/text-addrs/" + tenTimes(9): `{"pooled": "yes"}`,
	}
}

func tenTimes(n int) string { return strings.Repeat("0123456789", n) }

// sound is odd without what is no key.
func sound() map[string]string { return without(odd(), "pools/../..//.x") }

// document returns the lines of an export from its objects on.
func document(t *testing.T, text string) string {
	t.Helper()
	_, objects, ok := strings.Cut(text, "\n  \"objects\": {\n")
	if !ok {
		t.Fatalf("no export: %s", text)
	}
	return objects
}

// What an export holds is there after an import, byte for byte, and the next
// export is the same but for its head.
func TestExportAndImport(t *testing.T) {
	client := startEtcd(t)
	w := newWorld(t, client, sound())
	first := w.run(Confctl, "export")
	if first.code != 0 || !strings.Contains(first.stderr, "warning: node node/cl/svc/10.0.0.1: field weight: 1e400 is out of range: exported as it is\n") {
		t.Fatalf("exit %d, %s", first.code, first.stderr)
	}
	w.put("somewhere/else", "x") // another revision
	if again := w.run(Confctl, "export"); again.stdout == first.stdout || document(t, again.stdout) != document(t, first.stdout) {
		t.Errorf("the second export is another:\n%s", cmp.Diff(first.stdout, again.stdout))
	}
	file := w.file("backup.json", first.stdout)
	w.vars["SLUICE_CONFIG"] = w.file("other.yaml", "namespace: /restored\n")
	w.space = "/restored"
	got := w.run(Confctl, "import", "--from", file)
	if want := "node: 6 created, 0 overwritten, 0 the same, 0 different, 1 unusable, 0 only here\ndiscovery: 2 created"; got.code != 1 || !strings.Contains(got.stdout, want) {
		t.Errorf("import: exit %d, %s", got.code, got.stdout)
	}
	left := "pools/node/cl/svc/10.0.0.1" // which an import does not take
	w.wants(without(sound(), left), nil)
	w.put(left, sound()[left])
	if restored := w.run(Confctl, "export"); document(t, restored.stdout) != document(t, first.stdout) {
		t.Errorf("-first +restored:\n%s", cmp.Diff(first.stdout, restored.stdout))
	}
}

// A document holds garbage as well, and says so.
func TestExportOfGarbage(t *testing.T) {
	w := newWorld(t, startEtcd(t), map[string]string{"pools/a/b/c/d": `{"po`, "pools/a/b/c/e": "\xff\x00", "pools/stray": "x", "pools/a/b/c/\xff": "{}"})
	got := w.run(Confctl, "export")
	for _, want := range []string{`{"key": "a/b/c/d", "base64": "eyJwbw=="}`, `{"key": "a/b/c/e", "base64": "/wA="}`} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("no %s in %s", want, got.stdout)
		}
	}
	for _, want := range []string{
		"warning: keys below pools that are no node, ignored: stray\n", "warning: node a/b/c/d: malformed JSON: unexpected end of JSON input: exported as it is\n",
		`confctl: node "a/b/c/\xff": the key is not UTF-8: left out` + "\n",
	} {
		if !strings.Contains(got.stderr, want) {
			t.Errorf("no %q in %q", want, got.stderr)
		}
	}
	if got.code != 1 {
		t.Errorf("exit %d", got.code)
	}
}

// files returns what is below a directory, by name.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		all[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A tree makes the same objects out of nothing, whatever they are called.
func TestExportTreeAndSync(t *testing.T) {
	w := newWorld(t, startEtcd(t), sound())
	dir := filepath.Join(w.dir, "tree")
	got := w.run(Confctl, "export", "--format", "tree", "--out", dir)
	got.wants(t, ran{0, fmt.Sprintf("%s: 10 objects in 6 files at revision %d\n", dir, w.revision()), ""})
	tree := files(t, dir)
	var names []string
	for name, text := range tree {
		names = append(names, name)
		if !strings.HasPrefix(text, treeMark) {
			t.Errorf("%s does not say where it is from", name)
		}
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{"discovery/discovery.yaml", "geodns/geodns.yaml", "node/no.yaml", "node/node.yaml", "pool/pool.yaml", "service/service.yaml"}, names); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	keys := func() (all []string) {
		for k := range w.stored() {
			all = append(all, k)
		}
		slices.Sort(all)
		return all
	}
	before := keys()
	w.vars["SLUICE_CONFIG"], w.space = w.file("other.yaml", "namespace: /synced\n"), "/synced"
	if got := w.run(Confctl, "sync", dir); got.code != 0 {
		t.Fatalf("sync: exit %d, %s", got.code, got.stderr)
	}
	if diff := cmp.Diff(before, keys()); diff != "" {
		t.Errorf("keys (-exported +synced):\n%s", diff)
	}
}

func TestExportTreeKeepsWhatIsNotItsOwn(t *testing.T) {
	client := startEtcd(t)
	w := newWorld(t, client, base())
	dir := filepath.Join(w.dir, "tree")
	run := func(want ran) {
		t.Helper()
		w.run(Confctl, "--quiet", "export", "--format", "tree", "--out", dir).wants(t, want)
	}
	run(ran{})
	w.file("tree/README", "mine")
	w.file("tree/other/x.yaml", "mine")
	w.file("tree/node/notes.yml", "mine")
	w.file("tree/node/.hidden.yaml", "mine")
	first := files(t, dir)
	info, err := os.Stat(filepath.Join(dir, "node/codfw.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	w.put("pools/eqiad/cache_text/https/cp1009", "{}")
	run(ran{})
	second := files(t, dir)
	if again, err := os.Stat(filepath.Join(dir, "node/codfw.yaml")); err != nil || !os.SameFile(info, again) {
		t.Errorf("a file that does not change was replaced: %v", err)
	}
	if !strings.Contains(second["node/eqiad.yaml"], "cp1009: [https]") {
		t.Errorf("not replaced: %s", second["node/eqiad.yaml"])
	}
	second["node/eqiad.yaml"] = first["node/eqiad.yaml"]
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("other files (-before +after):\n%s", diff)
	}
	// A site that is no more takes its file along; a file without the mark is
	// somebody's, and nothing at all is written.
	if _, err := client.Delete(t.Context(), w.space+"/v1/pools/codfw/", clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	mine := w.file("tree/discovery/services.yaml", "search: [eqiad]\n")
	third := files(t, dir)
	run(ran{1, "", "tree: discovery/services.yaml is there and of no export: nothing written\n"})
	if diff := cmp.Diff(third, files(t, dir)); diff != "" {
		t.Errorf("written all the same:\n%s", diff)
	}
	if err := os.Remove(mine); err != nil {
		t.Fatal(err)
	}
	run(ran{})
	if _, there := files(t, dir)["node/codfw.yaml"]; there {
		t.Error("the file of a site without nodes is left")
	}
	if err := os.Symlink(filepath.Join(w.dir, "config.yaml"), filepath.Join(dir, "node/link.yaml")); err != nil {
		t.Fatal(err)
	}
	run(ran{1, "", "read node/link.yaml: not a regular file: nothing written\n"})
}

// Nothing takes the place of a good backup when there is nothing to write.
func TestExportRefuses(t *testing.T) {
	client := startEtcd(t)
	w := newWorld(t, client, nil)
	good := w.file("good.json", "good")
	for _, tc := range []struct {
		args string
		want ran
	}{
		{"--out " + good, ran{1, "", "the store holds no objects below " + w.space + "/v1: nothing written"}},
		{"", ran{1, "", "the store holds no objects"}},
		{"--format tree --out " + w.dir, ran{1, "", "the store holds no objects"}},
		{"--format xml", ran{2, "", `no format "xml": want json or tree`}},
		{"--format tree", ran{2, "", "no --out DIR given"}},
		{"DIR", ran{2, "", "one too many"}},
	} {
		w.run(Confctl, append([]string{"export"}, strings.Fields(tc.args)...)...).wants(t, tc.want)
	}
	w.put("pools/a/b/c/new\nline", "{}")
	w.run(Confctl, "export", "--format", "tree", "--out", filepath.Join(w.dir, "t")).wants(t, ran{1, "", `name "new\nline": want printable characters without a slash: nothing written`})
	w.run(Confctl, "export", "--format", "tree", "--out", filepath.Join(w.dir, "no/where")).wants(t, ran{1, "", `nothing written`})
	if _, err := client.Delete(t.Context(), w.space, clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	w.put("pools/a/b/c/d", "{}")
	w.run(Confctl, "export", "--format", "tree", "--out", filepath.Join(w.dir, "no/where")).wants(t, ran{1, "", "make directory " + w.dir + "/no/where: no such file or directory"})
	w.run(Confctl, "export", "--format", "tree", "--out", good).wants(t, ran{1, "", "read directory " + good + ": not a directory"})
	w.run(Confctl, "export", "--out", w.dir).wants(t, ran{1, "", "not a regular file"})
	if data, err := os.ReadFile(good); err != nil || string(data) != "good" {
		t.Errorf("%q, %v", data, err)
	}
}

// Far more objects than one page of the store's answers.
func TestExportOfManyObjects(t *testing.T) {
	w := newWorld(t, startEtcd(t), nil)
	const n = 10_050
	var ops []clientv3.Op
	for i := range n {
		ops = append(ops, clientv3.OpPut(fmt.Sprintf("%s/v1/pools/eqiad/text/https/cp%05d", w.space, i), `{"weight": 10, "pooled": "yes"}`))
	}
	for chunk := range slices.Chunk(ops, 100) {
		if _, err := w.client.Txn(t.Context()).Then(chunk...).Commit(); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(w.dir, "backup.json")
	w.run(Confctl, "export", "--out", file).wants(t, ran{0, fmt.Sprintf("%s: %d objects at revision %d\n", file, n, w.revision()), ""})
	w.run(Confctl, "--quiet", "import", "--from", file, "--dry-run").wants(t, ran{0, fmt.Sprintf("node: 0 to create, 0 to overwrite, %d the same, 0 different, 0 unusable, 0 only here\n", n), ""})
}

// A real site's objects go through both forms.
func TestExportSiteData(t *testing.T) {
	dir := os.Getenv("SLUICE_SITE_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(dir, "conftool-data")); err != nil {
		t.Skipf("NO SITE DATA: set SLUICE_SITE_DATA to a directory with conftool-data: %v", err)
	}
	w := newWorld(t, startEtcd(t), nil)
	w.vars["SLUICE_SCHEMA"] = filepath.Join(dir, "schema.yaml")
	quiet := func(args ...string) string {
		t.Helper()
		got := w.run(Confctl, append([]string{"--quiet"}, args...)...)
		if got.code != 0 {
			t.Fatalf("%v: exit %d, %s", args, got.code, got.stderr)
		}
		return got.stdout
	}
	quiet("sync", filepath.Join(dir, "conftool-data"))
	w.stdin = strings.NewReader("y\n")
	quiet("select", "cluster=cache_.*", "set/pooled=yes:weight=10")
	all := w.stored()
	tree, doc := filepath.Join(w.dir, "tree"), quiet("export")
	quiet("export", "--format", "tree", "--out", tree)
	file := w.file("backup.json", doc)

	w.vars["SLUICE_CONFIG"], w.space = w.file("imported.yaml", "namespace: /imported\n"), "/imported"
	quiet("import", "--from", file)
	w.wants(all, nil)
	if again := quiet("export"); document(t, again) != document(t, doc) {
		t.Error("the restored store exports otherwise")
	}
	w.vars["SLUICE_CONFIG"], w.space = w.file("synced.yaml", "namespace: /synced\n"), "/synced"
	quiet("sync", tree)
	synced := w.stored()
	if len(synced) != len(all) || len(all) != 859+160 {
		t.Errorf("%d objects, synced %d", len(all), len(synced))
	}
	for k := range all {
		if _, ok := synced[k]; !ok {
			t.Errorf("%s is missing", k)
		}
	}
	// And onto the site's own tree nothing is written.
	own := w.file("own/node/eqiad.yaml", "eqiad: {}\n")
	w.run(Confctl, "export", "--format", "tree", "--out", filepath.Dir(filepath.Dir(own))).wants(t, ran{1, "", "node/eqiad.yaml is there and of no export"})
}
