package objects

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCompare(t *testing.T) {
	number := func(s string) any { return json.Number(s) }
	tests := []struct {
		name, before, after string
		want                []Diff
	}{
		{"same text", `{"a": 1}`, `{"a": 1}`, nil},
		{"order and spacing", `{"a": 1, "b": {"x": 1, "y": [2]}}`, "{\"b\":{\"y\":[2],\"x\":1},\n\"a\":1}", nil},
		{"escapes", `{"a": "\u00e9"}`, `{"a": "é"}`, nil},
		{"changed", `{"a": 1, "b": "x"}`, `{"b": "y", "a": 2}`, []Diff{{"a", number("1"), number("2")}, {"b", "x", "y"}}},
		{"how a number is written", `{"a": 1}`, `{"a": 1.0}`, []Diff{{"a", number("1"), number("1.0")}}},
		{"gone", `{"a": 1, "b": 2}`, `{"b": 2}`, []Diff{{"a", number("1"), nil}}},
		{"new", `{"b": 2}`, `{"a": 1, "b": 2}`, []Diff{{"a", nil, number("1")}}},
		{"null is not gone", `{"a": null}`, `{}`, []Diff{{"a", nil, nil}}},
		{"nothing is not null", `{}`, `{"a": null}`, []Diff{{"a", nil, nil}}},
		{"twice: the last counts", `{"a": 1, "a": 2}`, `{"a": 2}`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Compare([]byte(tt.before), []byte(tt.after))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
		})
	}
	for _, raw := range []string{"", "5", `"x"`, "[]", "null", "{"} {
		if diffs, err := Compare([]byte(`{}`), []byte(raw)); err == nil {
			t.Errorf("%q compares: %v", raw, diffs)
		}
		if diffs, err := Compare([]byte(raw), []byte(`{}`)); err == nil {
			t.Errorf("%q compares: %v", raw, diffs)
		}
	}
}
