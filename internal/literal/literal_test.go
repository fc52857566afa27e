package literal

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	tests := []struct {
		text string
		want any
	}{
		{`"a"`, "a"},
		{`'a'`, "a"},
		{`u'a'`, "a"},
		{`b"a"`, "a"},
		{`''`, ""},
		{`'it\'s "so"'`, `it's "so"`},
		{`"a" 'b'`, "ab"},
		{`'\n\t\\\x41\u00e9\101\0'`, "\n\t\\A\u00e9A\x00"},
		{`'a\d\#{x}'`, `a\d\#{x}`},
		{"'a\\\nb'", "ab"},
		{`'[,]{:} # no comment'`, "[,]{:} # no comment"},
		{`0`, int64(0)},
		{`-12`, int64(-12)},
		{`+7`, int64(7)},
		{`0x1f`, int64(31)},
		{`9223372036854775807`, int64(1<<63 - 1)},
		{`1.5`, 1.5},
		{`.5`, .5},
		{`-1e-3`, -1e-3},
		{`True`, true},
		{`False`, false},
		{`None`, nil},
		{`[]`, []any{}},
		{`[ ]`, []any{}},
		{`[ 'a', "b" ]`, []any{"a", "b"}},
		{`["a", 1, True,]`, []any{"a", int64(1), true}},
		{"[ # first\n 'a',\n # second\n 'b'\n]", []any{"a", "b"}},
		{`[["a"], []]`, []any{[]any{"a"}, []any{}}},
		{`{}`, map[string]any{}},
		{` { 'host': 'cp1.example', 'weight':10, 'enabled': True } # note`,
			map[string]any{"host": "cp1.example", "weight": int64(10), "enabled": true}},
		{`{'a': 1, 'a': 2,}`, map[string]any{"a": int64(2)}},
	}
	for _, tt := range tests {
		got, err := Parse(tt.text)
		if err != nil {
			t.Errorf("Parse(%s): %v", tt.text, err)
		} else if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("Parse(%s) (-want +got):\n%s", tt.text, diff)
		}
	}
}

func TestParseWith(t *testing.T) {
	names := map[string]any{"server.ip": "{ip}", "server.port": int64(80)}
	got, err := ParseWith(`[ '-H', server.ip, server.port,]`, names)
	if diff := cmp.Diff([]any{"-H", "{ip}", int64(80)}, got); err != nil || diff != "" {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	for text, want := range map[string]string{
		`[server.ip.x]`:     "character 2: server.ip.x is a name, not a value",
		`[server]`:          "character 2: server is a name, not a value",
		`[str(server.ip)]`:  "character 2: str is a name, not a value",
		`[server.ip()]`:     "character 11: unexpected '('",
		`[server.ip + 'x']`: "character 12: unexpected '+'",
	} {
		if _, err := ParseWith(text, names); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseWith(%s): error %v, want %q", text, err, want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct{ text, want string }{
		{``, "character 1: unexpected end"},
		{`# only`, "character 7: unexpected end"},
		{`[`, "character 2: unexpected end"},
		{`['a'`, "character 5: unexpected end"},
		{`['a' 1]`, "character 6: unexpected '1'"},
		{`[,]`, "character 2: unexpected ','"},
		{`["a",,]`, "character 6: unexpected ','"},
		{`['é', x]`, "character 7: x is a name, not a value"},
		{`'a`, "character 3: string does not end"},
		{`'a\`, "character 4: string does not end"},
		{"'a\nb'", "character 3: string does not end on its line"},
		{`'a' x`, "character 5: unexpected 'x'"},
		{`'\x4'`, "character 4: escape names no character"},
		{`'\ud800'`, "character 4: escape names no character"},
		{`'\u41`, "character 4: escape is too short"},
		{`{'a'}`, "character 5: unexpected '}'"},
		{`{1: 2}`, "character 2: dictionary key is not a string"},
		{`{'a': 1 'b': 2}`, "character 9: unexpected '\\''"},
		{`010`, "character 1: 010 is not a number"},
		{`1_0`, "character 1: 1_0 is not a number"},
		{`--1`, "character 1: --1 is not a number"},
		{`9223372036854775808`, "character 1: 9223372036854775808 is not a number"},
		{`1e999`, "character 1: 1e999 is not a number"},
		{`0x1p4`, "character 1: 0x1p4 is not a number"},
		{`1 + 1`, "character 3: unexpected '+'"},
		{`__import__('os')`, "character 1: unexpected '_'"},
		{`open('/etc/passwd')`, "character 1: open is a name, not a value"},
		{`('a',)`, "character 1: unexpected '('"},
		{"\x00", "character 1: unexpected '\\x00'"},
		{"'\xff'", "character 4: string is not UTF-8 text"},
		{strings.Repeat("[", 1000), "character 34: nested more than 32 deep"},
	}
	for _, tt := range tests {
		got, err := Parse(tt.text)
		if err == nil {
			t.Errorf("Parse(%q) = %v, want an error", tt.text, got)
			continue
		}
		if want := "not a Python literal: " + tt.want; err.Error() != want {
			t.Errorf("Parse(%q): %v\nwant %s", tt.text, err, want)
		}
		if !errors.Is(err, ErrSyntax) {
			t.Errorf("Parse(%q): error is not ErrSyntax", tt.text)
		}
	}
}

func TestParseNestsToTheBound(t *testing.T) {
	text := strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1)
	if _, err := Parse(text); err != nil {
		t.Errorf("Parse at the bound: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{`["a", 'b\x41']`, `{'a': [1, -2.5, None]}`, `u"é" # c`, "[\n'a',\n]", `[[[`, `'\777'`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(text + " # comment")
		if err != nil {
			t.Fatalf("Parse(%q) with a comment behind: %v", text, err)
		}
		if diff := cmp.Diff(v, again); diff != "" {
			t.Fatalf("Parse(%q) with a comment behind differs:\n%s", text, diff)
		}
		if strings.Count(text, "[")+strings.Count(text, "{") >= MaxDepth {
			return // one more list around it may be one too many
		}
		if list, err := Parse("[" + text + "\n,]"); err != nil || !cmp.Equal(list, []any{v}) {
			t.Fatalf("Parse(%q) inside a list = %v, %v; want [%v]", text, list, err, v)
		}
	})
}
