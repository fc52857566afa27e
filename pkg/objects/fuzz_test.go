package objects

import (
	"encoding/json"
	"strings"
	"testing"
)

func FuzzParseSchema(f *testing.F) {
	f.Add([]byte("a: {path: a, tags: [b], schema: {f: {type: 'enum:a|b', default: a}}, depends: [node]}"))
	f.Add([]byte("a: &a {<<: *a}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseSchema(data, "f.yaml")
		if err != nil {
			return
		}
		for _, typ := range s.Types() {
			raw, err := typ.Defaults(nil)
			if err != nil || !json.Valid(raw) {
				t.Errorf("type %s: defaults %s, %v", typ.Name, raw, err)
			}
		}
	})
}

func FuzzParseTree(f *testing.F) {
	f.Add([]byte("eqiad:\n  a: &a\n    h: [s]\n  b: *a\n"))
	f.Add([]byte("eqiad: {a: {<<: [{h: [s]}, {i: {s: 1}}]}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := Node().ParseTree(data, "f.yaml")
		if err != nil {
			return
		}
		for _, k := range keys {
			if again, err := Node().ParseKey(k.String()); err != nil || again != k {
				t.Errorf("key %q: %v", k, err)
			}
		}
	})
}

func FuzzParseSelector(f *testing.F) {
	for _, s := range []string{"name=mw1001", "dc=eqiad,name=cp[0-9]{1,3}", "name=(a,b),service=[],]", `name=\Q,\E`, "dc=a,cluster=b,service=c,name=d"} {
		f.Add(s, "eqiad/text/https/cp1")
	}
	f.Fuzz(func(t *testing.T, text, path string) {
		s, err := Node().ParseSelector(text)
		if err != nil {
			if strings.Contains(err.Error(), "\n") && !strings.Contains(text, "\n") {
				t.Errorf("more than one line: %q", err)
			}
			return
		}
		k, err := Node().ParseKey(path)
		if err == nil && s.Match(k) && !strings.HasPrefix(path, s.Prefix()) {
			t.Errorf("prefix %q leaves out %q", s.Prefix(), path)
		}
	})
}

func FuzzParseSettings(f *testing.F) {
	f.Add("pooled=no:weight=5")
	f.Add("n= 1_0 :l=a,b:b=TRUE")
	f.Fuzz(func(t *testing.T, text string) {
		for _, typ := range []*Type{Node(), anything()} {
			set, err := typ.ParseSettings(text)
			if err != nil {
				continue
			}
			raw, err := typ.Defaults(set)
			if err != nil || (Object{Type: typ, Raw: raw}).Check() != nil {
				t.Errorf("%q makes %s, %v", text, raw, err)
			}
		}
	})
}

func FuzzParseSettingsFile(f *testing.F) {
	f.Add([]byte("n: 1\nd: {a: [1, 2.5, ~]}\nb: yes\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := anything().ParseSettingsFile(data, "f.yaml")
		if err != nil {
			return
		}
		raw, err := anything().Defaults(set)
		if err != nil || (Object{Type: anything(), Raw: raw}).Check() != nil {
			t.Errorf("%q makes %s, %v", data, raw, err)
		}
	})
}

// Whatever is stored: no panic; a sound object has a line that is JSON; a
// patch keeps every other member.
func FuzzDecodeAndPatch(f *testing.F) {
	for _, s := range []string{`{"weight": 30, "pooled": "yes"}`, `{"a":[1.50,-0,1e400,"\ud83d\u00e9/"],"a":{}}`, "{\"é\": \"\x7f\"}", `{"weight":"1_0"}`, "[]", ""} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, raw []byte, weight int) {
		o := Object{Type: Node(), Key: Key{Tags: "a/b/c", Name: "n"}, Raw: raw}
		o.Type.FreeForm = true
		if _, err := ParseNode(raw); err == nil && o.Check() != nil {
			t.Errorf("ParseNode accepts what Check does not: %v", o.Check())
		}
		if line, err := o.Line(); err == nil && !json.Valid([]byte(line)) {
			t.Errorf("line is not JSON: %s", line)
		}
		patched, diffs, err := o.Patch([]Setting{{"weight", weight & 0xffff}})
		if err != nil {
			return
		}
		before, err := members(raw)
		if err != nil {
			t.Fatal(err)
		}
		after, err := members(patched)
		if err != nil {
			t.Fatalf("patched %s: %v", patched, err)
		}
		for i, m := range before {
			if after[i].name != m.name {
				t.Errorf("member %q became %q", m.name, after[i].name)
			}
			if m.name != "weight" && string(respace(nil, m.raw)) != string(respace(nil, after[i].raw)) {
				t.Errorf("member %q: %s became %s", m.name, m.raw, after[i].raw)
			}
		}
		o.Raw = patched
		if w, err := o.Value("weight"); err != nil || w != weight&0xffff {
			t.Errorf("weight is %v, %v; diffs %v", w, err, diffs)
		}
	})
}

func FuzzParseExport(f *testing.F) {
	f.Add([]byte(someExportText))
	f.Add([]byte(`{"format": "sluice-export/1", "objects": {"node": [{"key": "a", "base64": ""}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := ParseExport(data)
		if err != nil {
			return
		}
		text, err := e.Encode()
		if err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		if again, err := ParseExport(text); err != nil || len(again.Objects) != len(e.Objects) {
			t.Errorf("%q: %v", text, err)
		}
	})
}
