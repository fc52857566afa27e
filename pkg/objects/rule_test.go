package objects

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const ruled = `thing:
  path: things
  tags: [dc]
  schema: {port: {default: 1}}
  json_schema:
    base_path: /schemas
    rules:
      all: {schema: all.schema}
      some: {schema: sub/some.schema, selector: "dc=eq.*,name=a|b,cluster=(?!x)"}
      other: {schema: other.schema, selector: "name=b"}
`

func TestRulesFor(t *testing.T) {
	s, err := ParseSchema([]byte(ruled), "schema.yaml")
	if err != nil {
		t.Fatal(err)
	}
	thing, _ := s.Type("thing")
	for key, want := range map[Key][]string{
		{Tags: "eqiad", Name: "a"}: {"all", "some"},
		{Tags: "eqiad", Name: "b"}: {"all", "some", "other"},
		{Tags: "codfw", Name: "b"}: {"all", "other"},
		{Tags: "codfw", Name: "c"}: {"all"},
	} {
		var got []string
		for _, r := range thing.RulesFor(key) {
			got = append(got, r.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", key, diff)
		}
	}
	if got := thing.Rules[1].File; got != "/schemas/sub/some.schema" {
		t.Errorf("file %q", got)
	}
	for broken, want := range map[string]string{
		"schema: all.schema":  "rule all: no schema",
		`selector: "name=b"`:  "look-around",
		"base_path: /schemas": "base_path: want a word",
	} {
		replaced := map[string]string{"schema: all.schema": "x: y", `selector: "name=b"`: `selector: "name=(?!b)"`, "base_path: /schemas": "base_path: []"}[broken]
		_, err := ParseSchema([]byte(strings.Replace(ruled, broken, replaced, 1)), "schema.yaml")
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "schema.yaml:") {
			t.Errorf("%s: got %v, want %s", replaced, err, want)
		}
	}
}
