package objects

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func flat(name string, tags ...string) *Type { return &Type{Name: name, Path: name, Tags: tags} }

func TestParseTree(t *testing.T) {
	tests := []struct {
		name string
		t    *Type
		file string
		want []string
	}{
		{"node", Node(), "eqiad:\n  text:\n    cp1: [https, varnish]\n    cp2: [https]\n",
			[]string{"eqiad/text/https/cp1", "eqiad/text/https/cp2", "eqiad/text/varnish/cp1"}},
		{"alias", Node(), "eqiad:\n  a: &a\n    h: [s]\n  b: *a\n", []string{"eqiad/a/s/h", "eqiad/b/s/h"}},
		{"merge key", Node(), "eqiad:\n  a: &a\n    h: [s]\n    i: [s]\n  b:\n    <<: *a\n    i: [t]\n",
			[]string{"eqiad/a/s/h", "eqiad/a/s/i", "eqiad/b/s/h", "eqiad/b/t/i"}},
		{"one tag", flat("discovery", "dnsdisc"), "search: &s [eqiad, codfw]\nother: *s\n",
			[]string{"other/codfw", "other/eqiad", "search/codfw", "search/eqiad"}},
		{"two tags", flat("x", "a", "b"), "brown: {runner: [Varenne]}", []string{"brown/runner/Varenne"}},
		{"no tags", flat("x"), "[b, a]", []string{"a", "b"}},
		{"leaf mapping", flat("x", "a"), "k: {n1: ignored, n2: }", []string{"k/n1", "k/n2"}},
		{"numbers and words", flat("x", "a"), "1: [2, 3.0, no, 0x1]", []string{"1/0x1", "1/2", "1/3.0", "1/no"}},
		{"twice in a list", flat("x"), "[a, a]", []string{"a"}},
		{"empty list", flat("x", "a"), "k: []", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			keys, err := tt.t.ParseTree([]byte(tt.file), "f.yaml")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, k := range keys {
				got = append(got, k.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseTreeRefuses(t *testing.T) {
	tests := []struct{ name, file, want string }{
		{"empty", "", "f.yaml: empty"},
		{"null", "~\n", "f.yaml:1: tree: want a mapping, got nothing"},
		{"list on top", "[a]", "f.yaml:1: tree: want a mapping, got a list"},
		{"too shallow", "eqiad:\n  text: [cp1]\n", "f.yaml:2: eqiad/text: want a mapping, got a list"},
		{"word for a list", "eqiad:\n  text:\n    cp1: https\n", `f.yaml:3: eqiad/text/cp1: want a list of names, got "https"`},
		{"nothing for a list", "eqiad:\n  text:\n    cp1:\n", "f.yaml:3: eqiad/text/cp1: want a list of names, got nothing"},
		{"too deep", "eqiad:\n  text:\n    cp1: [[a]]\n", "f.yaml:3: eqiad/text/cp1: want a word, got a list"},
		{"cluster twice", "eqiad:\n  text: {a: [s]}\n  text: {b: [s]}\n", "f.yaml:3: eqiad: text is there twice, first on line 2"},
		{"slash", "eqiad:\n  text:\n    a/b: [s]\n", `f.yaml:3: name "a/b": want printable characters without a slash`},
		{"slash at the end", "eqiad:\n  text:\n    ab: [a/b]\n", `f.yaml:3: name "a/b"`},
		{"newline", "eqiad:\n  text:\n    ab: [\"a\\nb\"]\n", `f.yaml:3: name "a\nb"`},
		{"empty name", "eqiad:\n  text:\n    ab: ['']\n", "f.yaml:3: eqiad/text/ab: want a word, got nothing"},
		{"null key", "~: {text: {ab: [s]}}\n", "f.yaml:1: tree: key: want a word, got nothing"},
		{"unknown anchor", "eqiad: *a\n", "f.yaml: yaml: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Node().ParseTree([]byte(tt.file), "f.yaml")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestParseTreeRefusesBombs(t *testing.T) {
	var b strings.Builder
	b.WriteString("s: &s {x: {x: [")
	for i := range 2000 {
		fmt.Fprintf(&b, "s%d, ", i)
	}
	b.WriteString("]}}\nt: &t {x: {")
	for i := range 2000 {
		fmt.Fprintf(&b, "h%d: *l, ", i)
	}
	b.WriteString("}}\n")
	file := strings.Replace(b.String(), "{x: {x: [", "{x: {x: &l [", 1)
	_, err := Node().ParseTree([]byte(file), "f.yaml")
	if err == nil || !strings.Contains(err.Error(), "once aliases are expanded") {
		t.Errorf("got %v", err)
	}
}

// siteData returns the directory with a real conftool-data tree, or skips.
func siteData(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("SLUICE_SITE_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(dir, "conftool-data")); err != nil {
		t.Skipf("NO SITE DATA: set SLUICE_SITE_DATA to a directory with conftool-data and schema.yaml: %v", err)
	}
	return dir
}

func readTree(t *testing.T, typ *Type, dir string) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "conftool-data", typ.Name, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files of type %s: %v", typ.Name, err)
	}
	all := make(map[Key]bool)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		keys, err := typ.ParseTree(data, file)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			all[k] = true
		}
	}
	return len(all)
}

func TestSiteData(t *testing.T) {
	dir := siteData(t)
	data, err := os.ReadFile(filepath.Join(dir, "schema.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseSchema(data, "schema.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, typ := range s.Types() {
		names = append(names, typ.Name)
	}
	want := []string{"node", "discovery", "mwconfig", "dbconfig-instance", "dbconfig-section", "geodns"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("types (-want +got):\n%s", diff)
	}
	discovery, _ := s.Type("discovery")
	if n := readTree(t, Node(), dir); n != 859 {
		t.Errorf("%d nodes, want 859", n)
	}
	if n := readTree(t, discovery, dir); n != 160 {
		t.Errorf("%d discovery objects, want 160", n)
	}
}
