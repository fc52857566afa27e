package objects

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseSchema(t *testing.T) {
	const file = `
discovery:
  path: "discovery"
  tags: [dnsdisc]
  depends: [late]
  schema:
    pooled: {type: bool, default: no}
    references: {type: list, default: []}
    ttl: {type: int, default: "300"}
late:
  path: late/things/
  tags: []
  free_form: true
  new_key: whatever
  schema:
    z: {type: "enum:yes|no", default: yes}
    a: {type: any, default: null}
checked:
  path: checked
  tags: [a, b]
  json_schema: {base_path: x, rules: {}}
  schema:
    port: {default: 3306}
    sections: {type: int, default: {}}
`
	s, err := ParseSchema([]byte(file), "schema.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := []*Type{
		Node(),
		{Name: "discovery", Path: "discovery", Tags: []string{"dnsdisc"}, Depends: []string{"late"}, Fields: []Field{
			{Name: "pooled", Kind: Bool, Default: false},
			{Name: "references", Kind: List, Default: []any{}},
			{Name: "ttl", Kind: Int, Default: 300}}},
		{Name: "late", Path: "late/things", FreeForm: true, Fields: []Field{
			{Name: "z", Kind: Enum, Enum: []string{"yes", "no"}, Default: "yes"},
			{Name: "a", Kind: Any}}},
		{Name: "checked", Path: "checked", Tags: []string{"a", "b"}, JSONSchema: true, Fields: []Field{
			{Name: "port", Kind: Any, Default: 3306},
			{Name: "sections", Kind: Any, Default: map[string]any{}}}},
	}
	if diff := cmp.Diff(want, s.Types()); diff != "" {
		t.Errorf("types (-want +got):\n%s", diff)
	}
	order, err := s.LoadOrder()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, typ := range order {
		names = append(names, typ.Name)
	}
	if diff := cmp.Diff([]string{"node", "late", "discovery", "checked"}, names); diff != "" {
		t.Errorf("load order (-want +got):\n%s", diff)
	}
	if _, ok := s.Type("nope"); ok {
		t.Error("a type nobody declared")
	}
}

func TestParseSchemaOverridesNode(t *testing.T) {
	s, err := ParseSchema([]byte("x: {path: x, tags: [], schema: {}}\nnode: {path: p, tags: [a], schema: {}}\n"), "f")
	if err != nil {
		t.Fatal(err)
	}
	if types := s.Types(); len(types) != 2 || types[0].Name != "node" || types[0].Path != "p" {
		t.Errorf("types: %v", types)
	}
}

func TestParseSchemaRefuses(t *testing.T) {
	tests := []struct{ name, file, want string }{
		{"empty", "# nothing\n", "f.yaml: empty"},
		{"broken", "a: [", "f.yaml: yaml: "},
		{"list", "[a]", "f.yaml:1: schema: want a mapping, got a list"},
		{"word", "x: y", `f.yaml:1: type x: want a mapping, got "y"`},
		{"twice", "a: {path: a, tags: [], schema: {}}\na: {path: b, tags: [], schema: {}}", "f.yaml:2: schema: a is there twice, first on line 1"},
		{"no path", "a: {tags: [], schema: {}}", "f.yaml:1: type a: no path"},
		{"no tags", "a: {path: a, schema: {}}", "f.yaml:1: type a: no tags"},
		{"no schema", "a: {path: a, tags: []}", "f.yaml:1: type a: no schema"},
		{"absolute path", "a: {path: /a, tags: [], schema: {}}", `path "/a": want a relative path`},
		{"same path", "a: {path: pools, tags: [], schema: {}}", "f.yaml:1: type a: path pools is that of type node"},
		{"tag called name", "a: {path: a, tags: [name], schema: {}}", "type a: tags: name is no name for a tag"},
		{"tag twice", "a: {path: a, tags: [b, b], schema: {}}", "type a: tags: b is there twice"},
		{"tags a word", "a: {path: a, tags: b, schema: {}}", `type a: tags: want a list, got "b"`},
		{"field twice", "a:\n path: a\n tags: []\n schema:\n  f: {type: int, default: 1}\n  f: {type: int, default: 1}",
			"f.yaml:6: type a: schema: f is there twice, first on line 5"},
		{"no type", "a: {path: a, tags: [], schema: {f: {default: 1}}}", "f.yaml:1: type a: field f: no type"},
		{"no default", "a: {path: a, tags: [], schema: {f: {type: int}}}", "f.yaml:1: type a: field f: no default"},
		{"unknown type", "a: {path: a, tags: [], schema: {f: {type: float, default: 1}}}", `type a: field f: unknown type "float"`},
		{"empty enum", "a: {path: a, tags: [], schema: {f: {type: 'enum:a|', default: a}}}", "field f: type \"enum:a|\": an empty value"},
		{"bad default", "a: {path: a, tags: [], schema: {f: {type: int, default: x}}}", "type a: field f: default: "},
		{"depends on nothing", "a: {path: a, tags: [], schema: {}, depends: [b]}", "f.yaml: type a: depends on unknown type b"},
		{"depends in a circle", "a: {path: a, tags: [], schema: {}, depends: [b]}\nb: {path: b, tags: [], schema: {}, depends: [a]}",
			"f.yaml: type a: depends on itself"},
		{"free_form", "a: {path: a, tags: [], schema: {}, free_form: maybe}", "type a: free_form: want true or false"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseSchema([]byte(tt.file), "f.yaml")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}
