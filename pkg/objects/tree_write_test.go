package objects

import (
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func keysOf(t *testing.T, typ *Type, paths ...string) []Key {
	t.Helper()
	var keys []Key
	for _, p := range paths {
		k, err := typ.ParseKey(p)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	return keys
}

func TestWriteTree(t *testing.T) {
	tests := []struct {
		name  string
		t     *Type
		paths []string
		want  string
	}{
		{"node", Node(), []string{"eqiad/text/varnish/cp1", "eqiad/text/https/cp2", "eqiad/text/https/cp1", "codfw/a/s/h", "eqiad/text/https/cp1"},
			"codfw:\n  a:\n    h: [s]\neqiad:\n  text:\n    cp1: [https, varnish]\n    cp2: [https]\n"},
		{"one tag", flat("discovery", "dnsdisc"), []string{"search/eqiad", "search/codfw"}, "search:\n  - codfw\n  - eqiad\n"},
		{"no tags", flat("x"), []string{"b", "a"}, "- a\n- b\n"},
		{"nothing", Node(), nil, "{}\n"},
		{"nothing, no tags", flat("x"), nil, "[]\n"},
		{"other words", flat("x", "a"), []string{"no/1e3", "no/0x10", "no/~", "no/<<", "y/Null", "y/=", "y/a b", "y/é", "y/10.0.0.1", "y/- a", "y/#"},
			"\"no\":\n  - \"0x10\"\n  - \"1e3\"\n  - \"<<\"\n  - \"~\"\n\"y\":\n  - \"#\"\n  - \"- a\"\n  - \"10.0.0.1\"\n  - \"=\"\n  - \"Null\"\n  - \"a b\"\n  - \"é\"\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.t.WriteTree(keysOf(t, tt.t, tt.paths...))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("file (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWriteTreeRefuses(t *testing.T) {
	for _, k := range []Key{
		{"a/b/c", "new\nline"}, {"a/b/c", "bell\a"}, {"a/b", "short"}, {"a/b/c/d", "long"}, {"a//c", "x"}, {"a/b/c", ""}, {"a/b/c", "not\xffutf8"}, {"a/b\ufeff/c", "x"},
	} {
		if out, err := Node().WriteTree([]Key{k}); err == nil {
			t.Errorf("%q: wrote %q", k, out)
		}
	}
}

// Whatever the names are, what is written is read back as the same keys, and
// once more as the same file.
func TestWriteTreeIsReadBack(t *testing.T) {
	part := rapid.OneOf(
		rapid.SampledFrom([]string{"no", "Yes", "ON", "~", "null", "1e3", "0x10", "010", "1_000", "12:30:45", ".inf", "=", "<<", "*a", "&a", "!!str", "? x", "-", "a: b", "a #b", "{a", "%", "'", "\"", `\n`, " lead", "trail ", "2026-01-02", "…", "ключ", "🙂", strings.Repeat("x", 300)}),
		rapid.StringOfN(rapid.RuneFrom(nil, unicode.Latin, unicode.Digit, unicode.Punct, unicode.Symbol), 1, 12, -1).Filter(func(s string) bool { return checkPart(s) == nil }),
	)
	types := []*Type{Node(), flat("x"), flat("x", "a"), flat("x", "a", "b"), {Name: "node", Tags: []string{"cluster"}}, {Name: "node"}}
	rapid.Check(t, func(t *rapid.T) {
		typ := rapid.SampledFrom(types).Draw(t, "type")
		var keys []Key
		for range rapid.IntRange(0, 20).Draw(t, "keys") {
			parts := rapid.SliceOfN(part, len(typ.Tags)+1, len(typ.Tags)+1).Draw(t, "key")
			last := len(parts) - 1
			keys = append(keys, Key{Tags: strings.Join(parts[:last], "/"), Name: parts[last]})
		}
		file, err := typ.WriteTree(keys)
		if err != nil {
			t.Fatal(err)
		}
		back, err := typ.ParseTree(file, "f.yaml")
		if err != nil {
			t.Fatalf("%v in\n%s", err, file)
		}
		slices.SortFunc(keys, Key.Compare)
		if want := slices.Compact(keys); !slices.Equal(want, back) {
			t.Fatalf("wrote %q, read %q from\n%s", want, back, file)
		}
		again, err := typ.WriteTree(back)
		if err != nil || string(again) != string(file) {
			t.Fatalf("the second file differs: %v\n%s", err, again)
		}
	})
}
