package objects

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseSettings(t *testing.T) {
	tests := []struct {
		text string
		want []Setting
		err  string
	}{
		{"pooled=no", []Setting{{"pooled", "no"}}, ""},
		{"pooled=no:weight=5", []Setting{{"pooled", "no"}, {"weight", 5}}, ""},
		{" pooled=no : weight= 12", []Setting{{"pooled", "no"}, {"weight", 12}}, ""},
		{"weight=1_0", []Setting{{"weight", 10}}, ""},
		{"weight=+1", []Setting{{"weight", 1}}, ""},
		{"pooled=no:pooled=inactive", []Setting{{"pooled", "inactive"}}, ""},
		{"", nil, "could not parse set instructions"},
		{"pooled", nil, "could not parse set instructions"},
		{"pooled=no:", nil, "could not parse set instructions"},
		{"pooled=a=b", nil, "could not parse set instructions"},
		{"=1", nil, "could not parse set instructions"},
		{"weight=", nil, "The provided data is not valid: '' is not an integer"},
		{"weight=abc", nil, "The provided data is not valid: 'abc' is not an integer"},
		{"weight=1.5", nil, "The provided data is not valid: '1.5' is not an integer"},
		{"weight=_1", nil, "'_1' is not an integer"},
		{"weight=1__0", nil, "'1__0' is not an integer"},
		{"weight=-5", nil, "weight -5 is negative"},
		{"weight=99999999999999999999", nil, "is not an integer"},
		{"pooled=YES", nil, "YES not in 'yes | no | inactive'"},
		{"foo=1", nil, "The provided data is not valid: Key foo not in the schema"},
		{"weight =1", nil, "Key weight  not in the schema"},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			compareSettings(t, tt.want, tt.err)(Node().ParseSettings(tt.text))
		})
	}
}

func compareSettings(t *testing.T, want []Setting, wantErr string) func([]Setting, error) {
	t.Helper()
	return func(got []Setting, err error) {
		t.Helper()
		if wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), wantErr) {
				t.Errorf("got %v, want %s", err, wantErr)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("settings (-want +got):\n%s", diff)
		}
	}
}

func TestParseSettingsOfEveryKind(t *testing.T) {
	tests := []struct {
		text string
		want []Setting
		err  string
	}{
		{"n=-5:s= x :a=3307", []Setting{{"n", -5}, {"s", " x"}, {"a", "3307"}}, ""},
		{"b=TRUE", []Setting{{"b", true}}, ""},
		{"b=no", nil, "no is not true or false"},
		{"l=a,b", []Setting{{"l", []any{"a", "b"}}}, ""},
		{"l=", []Setting{{"l", []any{}}}, ""},
		{"d=x", nil, "use set/@FILE"},
		{"c=10.0.0.0/8", nil, "use set/@FILE"},
		{"s=\xff", nil, "is not UTF-8"},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			compareSettings(t, tt.want, tt.err)(anything().ParseSettings(tt.text))
		})
	}
}

func TestParseSettingsFile(t *testing.T) {
	tests := []struct {
		name, file string
		want       []Setting
		err        string
	}{
		{"order of the file", "s: x\nn: 2\n", []Setting{{"s", "x"}, {"n", 2}}, ""},
		{"unquoted no", "e: no\nb: yes\n", []Setting{{"e", "no"}, {"b", true}}, ""},
		{"shouted no", "e: NO\n", []Setting{{"e", "no"}}, ""},
		{"nested", "d: {k: [1, 1.5, null, true, x]}\n",
			[]Setting{{"d", map[string]any{"k": []any{1, json.Number("1.5"), nil, true, "x"}}}}, ""},
		{"a date is text", "a: 2024-01-02\n", []Setting{{"a", "2024-01-02"}}, ""},
		{"networks", "c: [10.0.0.0/8]\n", []Setting{{"c", []any{"10.0.0.0/8"}}}, ""},
		{"twice", "n: 1\nn: 2\n", nil, "f.yaml:2: fields: n is there twice, first on line 1"},
		{"empty", "", nil, "f.yaml: empty"},
		{"null", "~\n", nil, "f.yaml:1: fields: want a mapping, got nothing"},
		{"list", "[a]\n", nil, "f.yaml:1: fields: want a mapping, got a list"},
		{"two documents", "n: 1\n---\nn: 2\n", nil, "more than one document"},
		{"broken", "n: [\n", nil, "f.yaml: "},
		{"unknown", "foo: 1\n", nil, "f.yaml: The provided data is not valid: Key foo not in the schema"},
		{"not a number", "a: .nan\n", nil, "f.yaml:1: NaN is not a JSON number"},
		{"endless", "a: &a [*a]\n", nil, "nested more than 100 deep"},
		{"endless merge", "a: &a {<<: *a}\n", nil, "nested more than 100 deep"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			compareSettings(t, tt.want, tt.err)(anything().ParseSettingsFile([]byte(tt.file), "f.yaml"))
		})
	}
}

func TestCheckSettings(t *testing.T) {
	compareSettings(t, []Setting{{"n", 2}, {"b", false}, {"e", "no"}}, "")(
		anything().CheckSettings(map[string]any{"e": "no", "b": "off", "n": int64(2)}))
	compareSettings(t, nil, "True not in 'yes | no'")(anything().CheckSettings(map[string]any{"e": true}))
	compareSettings(t, nil, "Key x not in the schema")(anything().CheckSettings(map[string]any{"x": true}))
}
