package objects

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// anything is a type with a field of every kind.
func anything() *Type {
	return &Type{
		Name: "thing", Path: "things", Tags: []string{"scope"},
		Fields: []Field{
			{Name: "n", Kind: Int, Default: 7},
			{Name: "s", Kind: String, Default: "x"},
			{Name: "b", Kind: Bool, Default: false},
			{Name: "l", Kind: List, Default: []any{}},
			{Name: "d", Kind: Dict, Default: map[string]any{}},
			{Name: "e", Kind: Enum, Enum: []string{"yes", "no"}, Default: "no"},
			{Name: "c", Kind: CIDRList, Default: []any{}},
			{Name: "a", Kind: Any},
		},
	}
}

func node(raw string) Object {
	return Object{Type: Node(), Key: Key{Tags: "eqiad/appservers/apache", Name: "mw1001"}, Raw: []byte(raw)}
}

func thing(raw string) Object {
	return Object{Type: anything(), Key: Key{Tags: "common", Name: "t"}, Raw: []byte(raw)}
}

func TestLine(t *testing.T) {
	const prefix, suffix = `{"mw1001": `, `, "tags": "dc=eqiad,cluster=appservers,service=apache"}`
	tests := []struct{ name, raw, want string }{
		{"as stored", `{"weight": 30, "pooled": "yes"}`, `{"weight": 30, "pooled": "yes"}`},
		{"schema order", `{"pooled":"yes","weight":30}`, `{"weight": 30, "pooled": "yes"}`},
		{"unknown hidden", `{"x":1,"pooled":"yes","weight":30}`, `{"weight": 30, "pooled": "yes"}`},
		{"numeric string", `{"pooled":"no","weight":"15"}`, `{"weight": 15, "pooled": "no"}`},
		{"float cut", `{"pooled":"no","weight":3.7}`, `{"weight": 3, "pooled": "no"}`},
		{"missing", `{"pooled":"no"}`, `{"weight": 0, "pooled": "no"}`},
		{"null", `{"pooled":null}`, `{"weight": 0, "pooled": "inactive"}`},
		{"empty", `{}`, `{"weight": 0, "pooled": "inactive"}`},
		{"last of two", "{\"pooled\":\"no\",\n\"pooled\":\"yes\"}", `{"weight": 0, "pooled": "yes"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := node(tt.raw).Line()
			if err != nil {
				t.Fatal(err)
			}
			if want := prefix + tt.want + suffix; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestLineOfEveryKind(t *testing.T) {
	o := thing(`{"a":{"z":1,"a":[1.0,1e5,1e16,-0,1e-7,true,null,{ }]},"s":"é/<&\u0041😀\ud83d \u007f\b\"\\","l":["ü"],
		"d":{"q":"\/"},"e":"yes","c":["10.0.0.1/8","2001:db8::1"],"b":true,"n":" 1_0 ","extra":"kept"}`)
	const fields = `"n": 10, "s": "\u00e9/<&A\ud83d\ude00\ud83d \u007f\b\"\\", "b": true, "l": ["\u00fc"], ` +
		`"d": {"q": "/"}, "e": "yes", "c": ["10.0.0.1/8", "2001:db8::1"], ` +
		`"a": {"z": 1, "a": [1.0, 100000.0, 1e+16, 0, 1e-07, true, null, {}]}`
	got, err := o.Line()
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"t": {` + fields + `}, "tags": "scope=common"}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	o.Type.FreeForm = true
	if got, err = o.Line(); err != nil {
		t.Fatal(err)
	}
	if want := `{"t": {` + fields + `, "extra": "kept"}, "tags": "scope=common"}`; got != want {
		t.Errorf("free form:\ngot  %s\nwant %s", got, want)
	}
}

func TestLineWithoutTags(t *testing.T) {
	o := Object{Type: &Type{Name: "flat"}, Key: Key{Name: "ü"}, Raw: []byte(`{}`)}
	got, err := o.Line()
	if want := `{"\u00fc": {}, "tags": ""}`; err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

func TestCheckNamesEverything(t *testing.T) {
	const at = "node eqiad/appservers/apache/mw1001: "
	tests := []struct {
		name string
		o    Object
		want string // "" for a sound object
	}{
		{"sound", node(`{"weight": 1, "pooled": "no", "x": [1]}`), ""},
		{"both bad", node(`{"weight": "abc", "pooled": "maybe"}`),
			at + "field weight: 'abc' is not an integer; field pooled: maybe not in 'yes | no | inactive'"},
		{"not JSON", node(`{"weight": 1`), at + "malformed JSON: "},
		{"nothing", node(""), at + "malformed JSON: "},
		{"a list", node("[]"), at + "malformed JSON: not an object"},
		{"trailing", node("{} {}"), at + "malformed JSON: "},
		{"not UTF-8", node("{\"x\": \"\xff\"}"), at + "malformed JSON: not UTF-8"},
		{"every kind", thing(`{"n": [], "s": 1, "b": 1, "l": {}, "d": [], "e": true, "c": ["10.0.0.0/33"], "a": 1}`),
			"thing common/t: field n: [] is not an integer; field b: 1 is not true or false; field l: {} is not a list; " +
				"field d: [] is not a mapping; field e: True not in 'yes | no'; field c: '10.0.0.0/33' is not a network"},
		{"no list of networks", thing(`{"c": "10.0.0.0/8"}`), "thing common/t: field c: 10.0.0.0/8 is not a list of networks"},
		{"huge", node(`{"weight": 1e300}`), at + "field weight: 1e300 is out of range"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.o.Check()
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Fatalf("got %v, want %s", err, tt.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
			if _, err := tt.o.Line(); err == nil {
				t.Error("Line has no error")
			}
		})
	}
}

func TestValue(t *testing.T) {
	o := thing(`{"s": [1, 2.0, "a'b", null, {"k": true}], "a": 1.5, "l": [1]}`)
	tests := []struct {
		field string
		want  any
	}{
		{"n", 7},
		{"s", `[1, 2.0, "a'b", None, {'k': True}]`},
		{"b", false},
		{"l", []any{json.Number("1")}},
		{"a", json.Number("1.5")},
	}
	for _, tt := range tests {
		got, err := o.Value(tt.field)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.field, diff)
		}
	}
	if _, err := o.Value("nope"); err == nil || err.Error() != "thing common/t: no field nope" {
		t.Errorf("unknown field: %v", err)
	}
}

func TestParseNode(t *testing.T) {
	tests := []struct {
		raw  string
		want NodeValue
		err  string
	}{
		{`{"weight": 10, "pooled": "yes"}`, NodeValue{"yes", 10}, ""},
		{`{"weight": "10"}`, NodeValue{"inactive", 10}, ""},
		{`{"pooled": "no", "x": {}}`, NodeValue{"no", 0}, ""},
		{`{"pooled": "NO"}`, NodeValue{}, "node: field pooled: NO not in 'yes | no | inactive'"},
		{`{"weight": -1}`, NodeValue{}, "node: field weight: -1 is negative"},
		{`nope`, NodeValue{}, "node: malformed JSON: invalid character 'o' in literal null (expecting 'u')"},
	}
	for _, tt := range tests {
		got, err := ParseNode([]byte(tt.raw))
		if got != tt.want || errorText(err) != tt.err {
			t.Errorf("%s: got %v, %v; want %v, %s", tt.raw, got, err, tt.want, tt.err)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
