package objects

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestYAML(t *testing.T) {
	free := &Type{Name: "x", Fields: []Field{{Name: "val", Kind: Any}, {Name: "n", Kind: Int, Default: 3}}, FreeForm: true}
	tests := []struct {
		name string
		t    *Type
		raw  string
		want string
	}{
		{"node", Node(), `{"weight": "15", "note": "x", "pooled": "yes"}`, "pooled: \"yes\"\nweight: 15\n"},
		{"defaults", Node(), `{}`, "pooled: inactive\nweight: 0\n"},
		{"misfit", Node(), `{"pooled": "maybe"}`, "pooled: maybe\nweight: 0\n"},
		{"free form", free, `{"z": {"b": [1, "no"], "a": null}, "val": 12345678901234567890, "m": 1e3}`,
			"m: 1e3\nn: 3\nval: 12345678901234567890\nz:\n  a: null\n  b: [1, \"no\"]\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Object{Type: tt.t, Key: Key{Name: "o"}, Raw: []byte(tt.raw)}.YAML()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if _, err := (Object{Type: Node(), Raw: []byte("{")}).YAML(); err == nil {
		t.Error("malformed JSON has YAML")
	}
}

// What is written for the editor and read back unedited changes nothing.
func TestUneditedYAMLChangesNothing(t *testing.T) {
	typ := &Type{Name: "x", Fields: []Field{{Name: "val", Kind: Any}, {Name: "word", Kind: String, Default: ""}}}
	words := rapid.SampledFrom([]any{"yes", "No", "on", "~", "null", "1_0", "0x1", "1e3", "", " a ", "a: b", "#x", "- y", "é\n", "2001-01-01", "\t", true, nil, 3, "<<", "=", "!x", "&a", "*a"})
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(words, 0, 4).Draw(t, "list")
		raw, err := typ.Defaults([]Setting{
			{Field: "val", Value: map[string]any{"k": list}},
			{Field: "word", Value: Text(words.Draw(t, "word"))},
		})
		if err != nil {
			t.Fatal(err)
		}
		o := Object{Type: typ, Key: Key{Name: "o"}, Raw: raw}
		out, err := o.YAML()
		if err != nil {
			t.Fatal(err)
		}
		set, err := typ.ParseSettingsFile(out, "edited")
		if err != nil {
			t.Fatalf("%v in\n%s", err, out)
		}
		if _, diffs, err := o.Patch(set); err != nil || len(diffs) > 0 {
			t.Fatalf("%v, %v of\n%s", diffs, err, out)
		}
	})
}
