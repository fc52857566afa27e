package generate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sluice-lb/sluice/pkg/state"
)

// render makes a text of a template and a store, with limits a test can reach.
func render(t testing.TB, store Store, text string) (string, error) {
	t.Helper()
	return renderWithin(t, time.Minute, store, text)
}

func renderWithin(t testing.TB, most time.Duration, store Store, text string) (string, error) {
	t.Helper()
	tmpl, err := parseTemplate("x.tmpl", "/dest", text, defaultSchema(t))
	if err != nil {
		return "", err
	}
	tmpl.limits = limits{size: 10_000, time: most}
	k := &templateKind{templates: []*fileTemplate{tmpl}, schema: defaultSchema(t)}
	node, _ := k.schema.Type("node")
	k.nodes = newNodeReader(node)
	byPath := map[string]state.Snapshot{}
	for _, path := range k.reads() {
		if byPath[path], err = store.Snapshot(t.Context(), store.Root()+path); err != nil {
			t.Fatal(err)
		}
	}
	m, _ := k.material(byPath)
	data, err := tmpl.execute(t.Context(), m)
	return string(data), err
}

func TestTemplates(t *testing.T) {
	store := treeStore{
		"pools/dc1/web/http/be1":    `{"weight": 10, "pooled": "yes", "rack": {"row": "A", "unit": 7, "height": 1.5}}`,
		"pools/dc1/web/http/be2":    `{"pooled": "no"}`,
		"pools/dc1/web-a/http/be3":  `{"weight": `,
		"discovery/search/eqiad":    `{"pooled": true, "references": ["a", "b"]}`,
		"geodns/text-addrs/eqiad":   `{"weight": "heavy"}`,
		"mediawiki-config/common/x": `{"val": [1, "b"]}`,
		"top":                       "plain text",
	}
	for _, tt := range []struct{ name, text, want string }{
		{"pools", `{{range .Pools}}{{.DC}} {{.Cluster}} {{.Service}}:{{range .Nodes}} {{.Host}}{{end}};{{end}}`, "dc1 web http: be1 be2;dc1 web-a http: be3;"},
		{"nodes", `{{with index .Pools 0}}{{range .Nodes}}{{.Pooled}} {{.Weight}} {{ge .Weight 1}};{{end}}{{end}}`, "yes 10 true;no 0 false;"},
		{"other fields", `{{with index (index .Pools 0).Nodes 0}}{{.Fields.rack.row}}{{add1 .Fields.rack.unit}}{{end}}`, `function "add1" not defined`},
		{"numbers of other fields", `{{with index (index .Pools 0).Nodes 0}}{{eq .Fields.rack.unit 7}} {{.Fields.rack.height}} {{.Fields.weight}}{{end}}`, "true 1.5 10"},
		{"sites", `{{range $dc, $c := .Sites}}{{range $cluster, $h := $c}}{{$cluster}}:{{range $host, $s := $h}}{{$host}},{{end}}{{end}}{{end}}`, "web:be1,be2,web-a:be3,"},
		{"objects", `{{range objects "discovery"}}{{.Name}} {{.Tags.dnsdisc}} {{.Fields.pooled}} {{.Fields.ttl}} {{join .Fields.references ","}}{{end}}`, "eqiad search true 300 a,b"},
		{"objects by pipe", `{{len (objects "node")}} {{objects "node" | len}}`, "3 3"},
		{"comments and trims", "{{- /* c */ -}}\n a", "a"},

		{"bad value, looked at", `{{range .Pools}}{{range .Nodes}}{{.Pooled}}{{end}}{{end}}`, "x.tmpl:1:34: at <.Pooled>: error calling Pooled: dc1/web-a/http/be3: node: malformed JSON: unexpected end of JSON input"},
		{"bad value, not looked at", `{{range .Pools}}{{if eq .Cluster "web"}}{{range .Nodes}}{{.Pooled}}{{end}}{{end}}{{end}}`, "yesno"},
		{"bad object", "\n{{range objects \"geodns\"}}{{.Fields.weight}}{{end}}", `x.tmpl:2:35: at <.Fields.weight>: error calling Fields: geodns text-addrs/eqiad: field weight: 'heavy' is not an integer`},
		{"missing key", "\n\n{{with index (index .Pools 0).Nodes 1}}{{.Fields.rack}}{{end}}", `x.tmpl:3:48: at <.Fields.rack>: map has no entry for key "rack"`},
		{"unknown field", `{{.Nodes}}`, `x.tmpl:1:2: at <.Nodes>: can't evaluate field Nodes in type generate.Data`},
		{"unknown type", `{{objects "carpet"}}`, `x.tmpl: object type "carpet": not in the schema`},
		{"type not in quotes", "\n{{$t := \"geodns\"}}{{objects $t}}", `x.tmpl:2:20: objects wants the name of one type, in quotes: objects "discovery"`},
		{"type from a pipe", `{{"geodns" | objects}}`, `x.tmpl:1:13: objects wants the name`},
		{"objects as an argument", `{{len objects}}`, `x.tmpl:1:2: objects wants the name`},
		{"syntax", "a\n{{if}}", "x.tmpl:2: missing value for if"},
		{"no end", "{{range .Pools}}", "x.tmpl:1: unexpected EOF"},
		{"in a part", "{{define \"row\"}}\n{{.Foo}}{{end}}{{range .Pools}}{{template \"row\" .}}{{end}}", `x.tmpl:2:2: executing "row" at <.Foo>: can't evaluate field Foo in type generate.Pool`},

		{"ls", `{{ls "/"}}{{ls "/pools/dc1"}}{{ls "/pools/dc1/"}}{{ls "pools"}}{{ls "/none"}}{{ls "/top"}}{{ls "/pools/dc1/web"}}`, "[discovery geodns mediawiki-config pools top][web web-a][web web-a][dc1][][top][http]"},
		{"lsdir", `{{lsdir "/"}}{{lsdir "/pools/dc1/web/http"}}`, "[discovery geodns mediawiki-config pools][]"},
		{"getv", `{{getv "/top"}} {{getv "/none" "or this"}} {{exists "/top"}} {{exists "/pools"}}`, "plain text or this true false"},
		{"getv of none", "{{getv \"/none\"}}", "x.tmpl:1:2: at <getv \"/none\">: error calling getv: key /none does not exist"},
		{"get", `{{with get "/top"}}{{.Key}}={{.Value}}{{end}}`, "/top=plain text"},
		{"gets", `{{range gets "/pools/*/web*/http/*"}}{{base .Key}} {{dir .Key}};{{end}}`, "be3 /pools/dc1/web-a/http;be1 /pools/dc1/web/http;be2 /pools/dc1/web/http;"},
		{"gets of none", `{{gets "/pools/*"}}{{getvs "/t?p"}}`, "[][plain text]"},
		{"gets, bad", `{{gets "/["}}`, `x.tmpl:1:2: at <gets "/[">: error calling gets: pattern "/[": syntax error in pattern`},
		{"json", `{{$n := json (getv "/pools/dc1/web/http/be1")}}{{$n.weight}} {{ge $n.weight 1.0}} {{$n.rack.row}} {{index $n "pooled"}}`, "10 true A yes"},
		{"json, not", `{{json "nope"}}`, `x.tmpl:1:2: at <json "nope">: error calling json: not JSON as wanted: invalid character 'o' in literal null (expecting 'u')`},
		{"jsonArray", `{{join (jsonArray "[1, \"b\"]") "+"}}`, "1+b"},
		{"texts", `{{join (split "a/b/c" "/") "-"}} {{toUpper "a"}}{{toLower "B"}} {{replace "a.b" "." "_" -1}} {{trimSuffix "a.b" ".b"}} {{contains "ab" "b"}} {{parseBool "true"}} {{atoi "7"}}`, "a-b-c Ab a_b a true true 7"},
		{"toJSON", `{{toJSON "a\"<b>"}} {{toJSON (split "a b" " ")}}`, `"a\"<b>" ["a","b"]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := render(t, store, tt.text)
			if err != nil {
				got = err.Error()
				if !strings.HasPrefix(got, "template x.tmpl:") || strings.Contains(got, "\n") {
					t.Errorf("error %q", got)
				}
				got = strings.TrimPrefix(got, "template ")
			}
			if got != tt.want && !(err != nil && strings.Contains(got, tt.want)) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// No template can reach beyond the store.
func TestTemplatesReachNothingElse(t *testing.T) {
	for _, name := range []string{"getenv", "fileExists", "lookupIP", "lookupSRV", "datetime", "include", "readFile", "exec", "env"} {
		if _, err := render(t, treeStore{}, fmt.Sprintf("{{%s \"x\"}}", name)); err == nil || !strings.Contains(err.Error(), "not defined") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A template that has no end has one here, wherever it loops.
func TestTemplatesAreBounded(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"loop":            {"\n{{range 9000000000000000000}}{{end}}", "template x.tmpl:2: not done within 50ms"},
		"loop in a part":  {`{{define "p"}}{{range 9000000000000000000}}{{continue}}{{end}}{{end}}{{template "p"}}`, "template x.tmpl:1: not done within 50ms"},
		"calls":           {`{{define "p"}}{{with slice . 1}}{{template "p" .}}{{template "p" .}}{{end}}{{end}}{{template "p" "` + strings.Repeat("a", 200) + `"}}`, "template x.tmpl: not done within 50ms"},
		"depth":           {`{{define "p"}}{{template "p"}}{{end}}{{template "p"}}`, "exceeded maximum template depth"},
		"writing":         {`{{range 9000000000000000000}}x{{end}}`, "template x.tmpl: writes more than 10000 bytes"},
		"growing":         {`{{$x := "a"}}{{range 100}}{{$x = printf "%s%s" $x $x}}{{end}}`, "template x.tmpl: makes a text of more than 10000 bytes"},
		"growing escapes": {`{{$x := "\\"}}{{range 100}}{{$x = js $x}}{{end}}`, "template x.tmpl: makes a text of more than 10000 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			most := time.Minute
			if strings.Contains(tt.want, "50ms") {
				most = 50 * time.Millisecond
			}
			got, err := renderWithin(t, most, treeStore{}, tt.text)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%d bytes, error %.200v", len(got), err)
			}
		})
	}
	tmpl, err := parseTemplate("x.tmpl", "/dest", `{{range 9000000000000000000}}{{end}}`, defaultSchema(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tmpl.execute(ctx, material{tree: &tree{}}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// Only what a template names is read, and a change elsewhere is none of it.
func TestTemplatesReadWhatTheyName(t *testing.T) {
	for text, want := range map[string][]string{
		`{{range .Pools}}{{end}}`:                                     {"pools/"},
		`{{range $.Sites}}{{end}}`:                                    {"pools/"},
		`{{with $x := .}}{{$x.Pools}}{{end}}`:                         {"pools/"},
		`{{define "p"}}{{(.).Pools}}{{end}}x`:                         {"pools/"},
		`{{if objects "geodns"}}{{end}}{{$d := objects "discovery"}}`: {"discovery/", "geodns/"},
		`{{printf "%v" (objects "geodns")}}`:                          {"geodns/"},
		`{{range ls "/a"}}{{end}}`:                                    {"a/b/"},
		`nothing`:                                                     nil,
	} {
		tmpl, err := parseTemplate("x.tmpl", "/dest", text, defaultSchema(t))
		if err != nil {
			t.Fatal(err)
		}
		node, _ := defaultSchema(t).Type("node")
		k := &templateKind{templates: []*fileTemplate{tmpl}, schema: defaultSchema(t), nodes: newNodeReader(node), prefix: "a/b/"}
		if got := k.reads(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s reads %q, want %q", text, got, want)
		}
	}
}

// templated is an engine for templates, given as file and text, and the
// directory they write to.
func templated(t *testing.T, texts map[string]string) (e *Engine, said *report, dir string) {
	t.Helper()
	dir = t.TempDir()
	var list []Template
	for name, text := range texts {
		file := filepath.Join(t.TempDir(), name+".tmpl")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		list = append(list, Template{file, filepath.Join(dir, name)})
	}
	kind, err := Templates(list, defaultSchema(t), "")
	if err != nil {
		t.Fatal(err)
	}
	said = &report{}
	return New(Options{Report: said, Kind: kind}), said, dir
}

// once brings a template's file to what a store says, and returns what was told.
func once(t *testing.T, e *Engine, said *report, dir string, store treeStore) string {
	t.Helper()
	e.Store = store
	e.forget("")
	if _, err := e.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(said.take(), dir, "DIR")
}

// A file is not emptied by accident, nor by an empty store, nor by an error.
func TestTemplatesKeepGoodFiles(t *testing.T) {
	e, said, dir := templated(t, map[string]string{
		"state": "# {{len (objects \"geodns\")}}\n{{range objects \"geodns\"}}{{if eq .Fields.pooled \"no\"}}geoip/{{.Name}} => DOWN\n{{end}}{{end}}",
	})
	one := treeStore{"geodns/text/eqiad": `{"pooled": "no"}`}
	steps := []struct {
		store treeStore
		want  string
		file  string
	}{
		{treeStore{"geodns/text/eqiad": `{"pooled": "yes"}`}, "DIR/state: 1 lines", "# 1\n"},
		{one, "DIR/state: 2 lines", "# 1\ngeoip/eqiad => DOWN\n"},
		{treeStore{"geodns/text/eqiad": `{"pooled": "yes"}`}, "DIR/state: nothing but comments would be left: kept as it is without --allow-empty", "# 1\ngeoip/eqiad => DOWN\n"},
		{treeStore{}, "DIR/state: the store holds nothing below \"/geodns/\": kept as it is without --allow-empty", "# 1\ngeoip/eqiad => DOWN\n"},
		{treeStore{"geodns/text/eqiad": `{`}, "DIR/state: template TMPL:2:41: at <.Fields.pooled>: error calling Fields: geodns text/eqiad: malformed JSON: unexpected end of JSON input", "# 1\ngeoip/eqiad => DOWN\n"},
		{one, "DIR/state: <nil>", "# 1\ngeoip/eqiad => DOWN\n"},
	}
	name := e.Kind.(*templateKind).templates[0].name
	for i, s := range steps {
		if got := strings.ReplaceAll(once(t, e, said, dir, s.store), name, "TMPL"); got != s.want {
			t.Errorf("step %d: told %q, want %q", i, got, s.want)
		}
		if data, err := os.ReadFile(filepath.Join(dir, "state")); err != nil || string(data) != s.file {
			t.Errorf("step %d: file %q, %v", i, data, err)
		}
	}
	e.AllowEmpty = true
	if got := once(t, e, said, dir, treeStore{}); got != "DIR/state: 1 lines" {
		t.Errorf("told %q", got)
	}
}

func TestSaysNothing(t *testing.T) {
	for text, want := range map[string]bool{
		"": true, "\n \n": true, "# a\n// b\n  ; c\n": true, "[\n]\n": true, "{}": true, "# a\nb\n": false, `{"a": 1}`: false,
	} {
		if got := saysNothing([]byte(text)); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}

// Names that would begin a line of their own never get into a file.
func TestTemplatesLeaveOutWhatNoFileCouldHold(t *testing.T) {
	e, said, dir := templated(t, map[string]string{"f": "{{range .Pools}}{{range .Nodes}}{{.Host}}\n{{end}}{{end}}{{range objects \"geodns\"}}{{.Name}}\n{{end}}{{if objects \"node\"}}{{end}}"})
	store := treeStore{
		"pools/dc1/web/http/be1": up, "pools/dc1/web/http/be1\nserver evil": up, "pools/dc1/web/http/a b": up, "pools/dc1/we\nb/http/be2": up,
		"geodns/text/eqiad": "{}", "geodns/text/e\nqiad": "{}", "geodns/short": "{}",
	}
	if got := once(t, e, said, dir, store); got != "DIR/f: 2 lines" {
		t.Errorf("told %q", got)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "f")); err != nil || string(data) != "be1\neqiad\n" {
		t.Errorf("%q, %v", data, err)
	}
	once(t, e, said, dir, store)
	if n := len(said.stray); n != 2 || !strings.Contains(said.stray[0], "evil") || !strings.Contains(said.stray[1], "short") {
		t.Errorf("named %q", said.stray)
	}
}

// FuzzTemplate wants of any template that it ends, soon, and with one line if it
// is an error.
func FuzzTemplate(f *testing.F) {
	for _, text := range []string{
		"{{range .Pools}}{{range .Nodes}}{{.Host}} {{.Weight}} {{.Fields.x}}\n{{end}}{{end}}",
		"{{range objects \"geodns\"}}{{.Tags.geodns}}{{else}}none{{end}}{{define \"a\"}}{{template \"a\" .}}{{end}}",
		"{{$x := json (getv \"/pools/dc1/web/http/be1\")}}{{printf \"%v%[3]*.[2]*[1]f\" $x 1 2}}{{index (ls \"/\") 0}}",
		"{{range $i, $x := gets \"/*/*\"}}{{if gt $i 3}}{{break}}{{end}}{{slice (print $x) 1 2}}{{end}}{{with $.Sites}}{{.dc1.web}}{{end}}",
		"{{call .Pools}}{{html 1}}{{and 1 0}}{{len (split \"abc\" \"\")}}{{toJSON .}}{{join (jsonArray \"[[]]\") `x`}}",
	} {
		f.Add(text)
	}
	store := treeStore{"pools/dc1/web/http/be1": `{"weight": 10, "pooled": "yes", "x": [1, {"y": null}]}`, "geodns/a/b": "{}"}
	f.Fuzz(func(t *testing.T, text string) {
		begin := time.Now()
		out, err := renderWithin(t, 50*time.Millisecond, store, text)
		if took := time.Since(begin); took > 5*time.Second || len(out) > 10_000 {
			t.Errorf("%s, %d bytes", took, len(out))
		}
		if err != nil && !strings.HasPrefix(err.Error(), "template x.tmpl") {
			t.Errorf("error %q", err)
		}
	})
}
