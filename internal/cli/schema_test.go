package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-lb/sluice/schema"
)

func TestSchemaCheck(t *testing.T) {
	w := &world{t: t, dir: t.TempDir(), stdin: strings.NewReader(""), vars: map[string]string{}}
	w.file("schemas/port.schema", `{"$schema": "http://json-schema.org/draft-04/schema#", "properties": {"port": {"maximum": 65535, "minimum": 1}}}`)
	w.file("schemas/notjson.schema", `{"a": `)
	w.file("schemas/nonsense.schema", `{"type": 7}`)
	w.file("schemas/remote.schema", `{"$ref": "http://192.0.2.1/x.json"}`)
	const head = "t:\n  path: ts\n  tags: [dc]\n"
	tests := []struct {
		name, file string
		code       int
		stderr     []string // lines; each begins with the program and the file
	}{
		{"good", head + "  schema: {port: {default: 80}}\n  json_schema: {rules: {r: {schema: port.schema}}}\n", 0, nil},
		{"everything at once", head + "  tags2: [x]\n  schema:\n    a: {type: float, default: 1}\n    b: {type: int, default: many}\n    c: {type: int}\n" +
			"u:\n  tags: [a, a]\n  depends: x\n", 1, []string{
			"note: FILE:4: type t: tags2 is no key of a schema: passed over",
			`confctl: FILE:6: type t: field a: unknown type "float"`,
			`confctl: FILE:7: type t: field b: default: 'many' is not an integer`,
			"confctl: FILE:8: type t: field c: no default",
			"confctl: FILE:9: type u: no path",
			"confctl: FILE:10: type u: tags: a is there twice",
			`confctl: FILE:11: type u: depends: want a list, got "x"`,
			"confctl: FILE:9: type u: no schema",
		}},
		{"JSON schemas", head + "  schema: {port: {default: 80}}\n  json_schema: {rules: {a: {schema: gone.schema}, b: {schema: notjson.schema}, " +
			"c: {schema: nonsense.schema, selector: dc=x}, d: {schema: remote.schema}}}\n", 1, []string{
			"confctl: FILE: type t: rule a: read JSON schema DIR/schemas/gone.schema: no such file or directory",
			"confctl: FILE: type t: rule b: read JSON schema DIR/schemas/notjson.schema: unexpected EOF",
			"confctl: FILE: type t: rule c: read JSON schema DIR/schemas/nonsense.schema: ",
			"confctl: FILE: type t: rule d: read JSON schema DIR/schemas/remote.schema: ",
		}},
		{"defaults that break a rule", head + "  schema: {port: {default: 0}}\n  json_schema: {rules: {r: {schema: port.schema}}}\n", 0, []string{
			"note: FILE: type t: a new object would not be valid: rule r: /port: minimum: got 0, want 1"}},
		{"broken selector", head + "  schema: {}\n  json_schema: {rules: {r: {schema: port.schema, selector: 'name=('}}}\n", 1, []string{"confctl: FILE:5: type t: json_schema: rule r: selector"}},
		{"tab", "t:\n\tpath: x\n", 1, []string{"confctl: FILE:2: a tab where spaces belong: yaml: line 2: found character that cannot start any token"}},
		{"not YAML", "[", 1, []string{"confctl: FILE: yaml: "}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := w.file("schema.yaml", tt.file)
			got := w.run(Confctl, "schema", "check", file)
			lines := strings.Split(strings.TrimSuffix(got.stderr, "\n"), "\n")
			if got.stderr == "" {
				lines = nil
			}
			if got.code != tt.code || len(lines) != len(tt.stderr) {
				t.Fatalf("exit %d, want %d; stderr:\n%s", got.code, tt.code, got.stderr)
			}
			for i, want := range tt.stderr {
				want = strings.NewReplacer("FILE", file, "DIR", w.dir).Replace(want)
				if !strings.HasPrefix(lines[i], want) {
					t.Errorf("line %d\n got %s\nwant %s", i, lines[i], want)
				}
			}
		})
	}
	if got := w.run(Confctl, "schema", "check", w.dir+"/none.yaml"); got.code != 1 || got.stderr != "confctl: read schema "+w.dir+"/none.yaml: no such file or directory\n" {
		t.Errorf("a file that is not there: %+v", got)
	}
	w.run(Confctl, "schema", "check", "a", "b").wants(t, ran{2, "", `argument "b" is one too many`})
	w.run(Confctl, "schema").wants(t, ran{2, "", "no command given: check or default"})
}

// The default schema, printed into a file, is a schema like any other.
func TestSchemaDefault(t *testing.T) {
	w := &world{t: t, dir: t.TempDir(), stdin: strings.NewReader(""), vars: map[string]string{}}
	got := w.run(Confctl, "schema", "default")
	if diff := cmp.Diff(string(schema.Default()), got.stdout); diff != "" || got.code != 0 {
		t.Errorf("exit %d, -want +got\n%s", got.code, diff)
	}
	if got := w.run(Confctl, "schema", "check", "-o", "json", w.file(filepath.Join("x", "schema.yaml"), got.stdout)); got.code != 0 || !strings.Contains(got.stdout, `"pool-settings"`) {
		t.Errorf("%+v", got)
	}
}
