package objects

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestPatch(t *testing.T) {
	tests := []struct {
		name, raw, set string
		want           string
		diffs          []string
	}{
		{"one field", `{"weight": 30, "pooled": "yes"}`, "pooled=no",
			`{"weight": 30, "pooled": "no"}`, []string{"pooled changed yes => no"}},
		{"in the order named", `{"weight": 30, "pooled": "yes"}`, "pooled=no:weight=5",
			`{"weight": 5, "pooled": "no"}`, []string{"pooled changed yes => no", "weight changed 30 => 5"}},
		{"nothing differs", `{"pooled":"yes",  "weight":"30"}`, "weight=30:pooled=yes",
			`{"pooled":"yes",  "weight":"30"}`, nil},
		{"stored order and unknown fields", "{\"z\":\"é\",\n\"pooled\":\"yes\",\"a\":{\"c\":1,\"b\":1.0},\"weight\":1}", "weight=2",
			`{"z": "\u00e9", "pooled": "yes", "a": {"c": 1, "b": 1.0}, "weight": 2}`, []string{"weight changed 1 => 2"}},
		{"invalid others stay", `{"pooled": "maybe", "weight": 9}`, "weight=3",
			`{"pooled": "maybe", "weight": 3}`, []string{"weight changed 9 => 3"}},
		{"invalid itself", `{"pooled": "maybe", "weight": 9}`, "pooled=no",
			`{"pooled": "no", "weight": 9}`, []string{"pooled changed maybe => no"}},
		{"appended in schema order", `{"x": 1}`, "pooled=no:weight=3",
			`{"x": 1, "weight": 3, "pooled": "no"}`, []string{"pooled changed inactive => no", "weight changed 0 => 3"}},
		{"default of a missing field", `{"pooled": "no"}`, "weight=0", `{"pooled": "no"}`, nil},
		{"empty object", `{}`, "weight=1", `{"weight": 1}`, []string{"weight changed 0 => 1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := node(tt.raw)
			set, err := o.Type.ParseSettings(tt.set)
			if err != nil {
				t.Fatal(err)
			}
			raw, diffs, err := o.Patch(set)
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, d := range diffs {
				lines = append(lines, d.String())
			}
			if diff := cmp.Diff(tt.diffs, lines); diff != "" || string(raw) != tt.want {
				t.Errorf("got  %s\nwant %s\n%s", raw, tt.want, diff)
			}
		})
	}
}

func TestPatchRefuses(t *testing.T) {
	tests := []struct {
		name, raw string
		set       Setting
		want      string
	}{
		{"malformed", `{"weight": 1`, Setting{"weight", 2}, "malformed JSON"},
		{"unknown field", `{}`, Setting{"foo", 2}, "Key foo not in the schema"},
		{"invalid value", `{}`, Setting{"pooled", "maybe"}, "maybe not in 'yes | no | inactive'"},
		{"negative weight", `{}`, Setting{"weight", -5}, "weight -5 is negative"},
		{"no JSON value", `{}`, Setting{"pooled", make(chan int)}, "is not a JSON value"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw, diffs, err := node(tt.raw).Patch([]Setting{tt.set})
			if err == nil || !strings.Contains(err.Error(), tt.want) || raw != nil || diffs != nil {
				t.Errorf("got %s, %v, %v; want %s", raw, diffs, err, tt.want)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	raw, err := Node().Defaults(nil)
	if want := `{"weight": 0, "pooled": "inactive"}`; err != nil || string(raw) != want {
		t.Errorf("got %s, %v; want %s", raw, err, want)
	}
	raw, err = anything().Defaults([]Setting{{"e", "yes"}, {"a", []any{1, "é", map[string]any{"k": nil}}}})
	const want = `{"n": 7, "s": "x", "b": false, "l": [], "d": {}, "e": "yes", "c": [], "a": [1, "\u00e9", {"k": null}]}`
	if err != nil || string(raw) != want {
		t.Errorf("got %s, %v; want %s", raw, err, want)
	}
	if _, err = Node().Defaults([]Setting{{"pooled", "maybe"}}); !isInvalid(err) {
		t.Errorf("invalid setting: %v", err)
	}
}

func TestFreeFormPatch(t *testing.T) {
	o := node(`{"extra": 1}`)
	o.Type.FreeForm = true
	raw, _, err := o.Patch([]Setting{{"more", "x"}, {"weight", 1}, {"extra", 2}})
	if want := `{"extra": 2, "weight": 1, "more": "x"}`; err != nil || string(raw) != want {
		t.Errorf("got %s, %v; want %s", raw, err, want)
	}
}

// A patch changes the named fields and nothing else, in value and in place.
func TestPatchTouchesOnlyWhatIsNamed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"weight", "pooled", "a", "é", "", "b c"}), 0, 6, rapid.ID[string]).Draw(t, "names")
		values := rapid.SampledFrom([]string{`1`, `"yes"`, `"no"`, `"maybe"`, `null`, `{"b": 1, "a": [2.0]}`, `"\ud83d"`, `"é"`, `-1`})
		var parts []string
		before := make(map[string]string)
		for _, name := range names {
			value := values.Draw(t, "value")
			before[name] = value
			key, _ := json.Marshal(name)
			parts = append(parts, string(key)+rapid.SampledFrom([]string{":", " :\n "}).Draw(t, "colon")+value)
		}
		o := node("{" + strings.Join(parts, ",") + "}")
		set := []Setting{}
		if rapid.Bool().Draw(t, "weight") {
			set = append(set, Setting{"weight", rapid.IntRange(0, 3).Draw(t, "to")})
		}
		if rapid.Bool().Draw(t, "pooled") {
			set = append(set, Setting{"pooled", rapid.SampledFrom([]string{"yes", "no", "inactive"}).Draw(t, "to")})
		}
		raw, diffs, err := o.Patch(set)
		if err != nil {
			t.Fatal(err)
		}
		after, err := members(raw)
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		if len(diffs) == 0 && string(raw) != string(o.Raw) {
			t.Fatalf("nothing differs, yet %s became %s", o.Raw, raw)
		}
		for i, name := range names {
			named := slices.ContainsFunc(set, func(s Setting) bool { return s.Field == name })
			if after[i].name != name {
				t.Fatalf("%s: %q moved", raw, name)
			}
			if got, want := string(respace(nil, after[i].raw)), string(respace(nil, []byte(before[name]))); !named && got != want {
				t.Fatalf("%s: %q was %s", raw, name, want)
			}
		}
		o.Raw = raw
		for _, s := range set {
			if got, err := o.Value(s.Field); err != nil || got != s.Value {
				t.Fatalf("%s: %s is %v, %v; want %v", raw, s.Field, got, err, s.Value)
			}
		}
		if again, diffs, err := o.Patch(set); err != nil || len(diffs) > 0 || string(again) != string(raw) {
			t.Fatalf("again: %s, %v, %v", again, diffs, err)
		}
	})
}

// What Line prints is the value: reading it back and printing it again gives
// the same line.
func TestLineRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := node("")
		o.Key.Name = rapid.StringN(1, -1, 20).Draw(t, "name")
		o.Type.Fields = append(o.Type.Fields, Field{Name: "note", Kind: String, Default: ""})
		note := rapid.String().Draw(t, "note")
		raw, err := o.Type.Defaults([]Setting{{"note", note}, {"weight", rapid.IntRange(0, 1<<40).Draw(t, "weight")}})
		if err != nil {
			t.Fatal(err)
		}
		o.Raw = raw
		line, err := o.Line()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range line {
			if c < ' ' || c > '~' {
				t.Fatalf("%q is not printable ASCII", line)
			}
		}
		var parsed map[string]json.RawMessage
		if err := json.Unmarshal([]byte(line), &parsed); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		o.Raw = parsed[o.Key.Name]
		if o.Key.Name == "tags" {
			t.Skip("a name that is the other key")
		}
		again, err := o.Line()
		if err != nil || again != line {
			t.Fatalf("got %s, %v; want %s", again, err, line)
		}
		if got, _ := o.Value("note"); got != note {
			t.Fatalf("note: got %q, want %q", got, note)
		}
	})
}

func isInvalid(err error) bool {
	_, ok := errors.AsType[*InvalidError](err)
	return ok
}
