package objects

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func someExport() Export {
	return Export{
		Namespace: "/conftool", APIVersion: "v1", Revision: 42, Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Objects: map[string][]Exported{
			"node": {
				{"eqiad/text/https/cp2", []byte(`{"weight": 10, "pooled": "yes", "note": "<é>"}`)},
				{"eqiad/text/https/cp1", []byte(`{"po`)},
			},
			"geodns": {},
		},
	}
}

const someExportText = `{
  "format": "sluice-export/1",
  "namespace": "/conftool",
  "api_version": "v1",
  "revision": 42,
  "time": "2026-01-02T03:04:05Z",
  "objects": {
    "geodns": [],
    "node": [
      {"key": "eqiad/text/https/cp1", "base64": "eyJwbw=="},
      {"key": "eqiad/text/https/cp2", "value": {"weight": 10, "pooled": "yes", "note": "<é>"}}
    ]
  }
}
`

func TestExport(t *testing.T) {
	text, err := someExport().Encode()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(someExportText, string(text)); diff != "" {
		t.Errorf("document (-want +got):\n%s", diff)
	}
	if !IsExport(text) {
		t.Error("it does not know itself")
	}
	bad := Export{Objects: map[string][]Exported{"node": {{"a\xff/b/c/d", []byte(`{}`)}}}}
	if _, err := bad.Encode(); err == nil || !strings.Contains(err.Error(), "not UTF-8") {
		t.Errorf("key that is not UTF-8: %v", err)
	}
}

// Any bytes at all come back, and the document is JSON whatever they are.
func TestExportIsReadBack(t *testing.T) {
	values := rapid.OneOf(
		rapid.SampledFrom([]string{`{"weight": 10}`, `{"a" : 1e400,"a":2}`, "{\"x\":\n\t\"\\u00e9\"}", "5", "null", `"x"`, " {} ", "{}\n", "", "{", "\xff", `{"a": "` + "\xff" + `"}`}),
		rapid.String(),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
	)
	rapid.Check(t, func(t *rapid.T) {
		e := Export{Namespace: rapid.String().Draw(t, "namespace"), APIVersion: "v1", Revision: rapid.Int64().Draw(t, "revision"), Time: time.Unix(1e9, 0).UTC(), Objects: map[string][]Exported{}}
		for _, typ := range rapid.SliceOfDistinct(rapid.StringN(1, 5, -1), rapid.ID[string]).Draw(t, "types") {
			e.Objects[typ] = []Exported{}
			for _, key := range rapid.SliceOfDistinct(rapid.StringN(1, 9, -1), rapid.ID[string]).Draw(t, "keys") {
				e.Objects[typ] = append(e.Objects[typ], Exported{key, []byte(values.Draw(t, "value"))})
			}
		}
		text, err := e.Encode()
		if err != nil || !json.Valid(text) {
			t.Fatalf("%v: %s", err, text)
		}
		back, err := ParseExport(text)
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		for _, list := range e.Objects {
			slices.SortFunc(list, func(a, b Exported) int { return strings.Compare(a.Key, b.Key) })
		}
		if diff := cmp.Diff(e, back, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("-written +read:\n%s", diff)
		}
		if again, err := back.Encode(); err != nil || !bytes.Equal(again, text) {
			t.Fatalf("the second document differs: %v\n%s", err, again)
		}
	})
}

func TestParseExportRefuses(t *testing.T) {
	tests := []struct{ name, old, new, want string }{
		{"another version", "export/1", "export/2", `format "sluice-export/2": want "sluice-export/1"`},
		{"unknown member", `"revision"`, `"révision"`, "unknown field"},
		{"cut off", "  }\n}\n", "  }\n", "unexpected EOF"},
		{"trailing garbage", "  }\n}\n", "  }\n}\n{}", "something follows"},
		{"no objects", someExportText, `{"format": "sluice-export/1"}`, "want a mapping"},
		{"a list of objects", someExportText, `{"format": "sluice-export/1", "objects": []}`, "want a mapping"},
		{"one brace more", "  }\n}\n", "  }\n}\n}", "something follows"},
		{"type twice", `"geodns"`, `"node"`, "type node: is there twice"},
		{"key twice", "https/cp1", "https/cp2", `key "eqiad/text/https/cp2" is there twice`},
		{"no key", `"key": "eqiad/text/https/cp1", `, "", "an object has no key"},
		{"neither value nor base64", `, "base64": "eyJwbw=="`, "", "want either value or base64"},
		{"both", `"base64": "eyJwbw=="`, `"base64": "", "value": 1`, "want either value or base64"},
		{"bad base64", `eyJwbw==`, `!`, "base64"},
		{"a list of types", `"geodns": []`, `"geodns": 5`, "type geodns: json: cannot unmarshal"},
		{"not UTF-8", "é", "\xe9", "not UTF-8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(someExportText, tt.old, tt.new, 1)
			if _, err := ParseExport([]byte(text)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	for _, text := range []string{"", "5", "[]", "{", `{"format": 5}`, `{"action": "get", "node": {"format": "sluice-export/1"}}`, `{"a": {`} {
		if IsExport([]byte(text)) {
			t.Errorf("%q passes for an export", text)
		}
	}
}
