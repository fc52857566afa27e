package poolfile

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	a, b := Entry{"a", 10, true}, Entry{"b", 3, false}
	tests := []struct {
		name, text string
		form       Form
		want       []Entry
		problems   string
	}{
		{"as config-master serves it", "# header\n\n{ 'host': 'b', 'weight':3, 'enabled': False }\n\n{ 'host': 'a', 'weight':10, 'enabled': True }\n", Dict, []Entry{a, b}, ""},
		{"trailing comment, other quotes, blanks, CRLF", "  {\"host\": \"a\", \"enabled\": True, \"weight\": 10} # why\r\n\r\n", Dict, []Entry{a}, ""},
		{"no final newline", "{'host': 'a', 'weight': 10, 'enabled': True}", Dict, []Entry{a}, ""},
		{"extra keys", "{'host': 'a', 'weight': 10, 'enabled': True, 'rack': [1, {}]}\n", Dict, []Entry{a}, ""},
		{"later wins", "{'host': 'a', 'weight': 1, 'enabled': False}\n{'host': 'a', 'weight': 10, 'enabled': True}\n", Dict, []Entry{a}, ""},
		{"bad lines", "{'host': 'a', 'weight': 10, 'enabled': True}\nnonsense\n{'host': 'c', 'enabled': True}\n{'host': 'd', 'weight': 1}\n{'weight': 1}\n[1]\n{'host': 7}\n{'host': ''}\n{'host': 'x\\ny'}\n", Dict, []Entry{a},
			`line 2: not a Python literal: character 1: nonsense is a name, not a value
line 3: server c: no weight
line 4: server d: no enabled
line 5: no host
line 6: "[1]": not a dictionary
line 7: no host
line 8: host is empty
line 9: host "x\ny" is no name of a server`},
		{"wrong types have defaults", "{'host': 'a', 'weight': '7', 'enabled': 1}\n{'host': 'b', 'weight': True, 'enabled': False}\n", Dict, []Entry{a, {"b", 10, false}},
			"line 1: server a: weight is no whole number: taken for 10\nline 1: server a: enabled is neither True nor False: taken for True\nline 2: server b: weight is no whole number: taken for 10"},
		{"weights out of range", "{'host': 'a', 'weight': -1, 'enabled': True}\n{'host': 'b', 'weight': 65536, 'enabled': True}\n", Dict, []Entry{},
			"line 1: server a: weight -1 is outside 0 to 65535\nline 2: server b: weight 65536 is outside 0 to 65535"},
		{"no code", "{'host': 'a', 'weight': 5+5, 'enabled': True}\n", Dict, []Entry{}, "line 1: not a Python literal: character 25: 5+5 is not a number"},
		{"cut in a line", "{'host': 'a', 'weight': 10, 'enabled': True}\n{'host': 'b', 'wei", Dict, []Entry{a}, "line 2: ends in the middle: not a Python literal: character 19: string does not end"},
		{"empty", "", Dict, []Entry{}, ""},
		{"only comments", "# nobody\n", Dict, []Entry{}, ""},

		{"json", `{"b": {"enabled": false, "weight": 3}, "a": {}}`, JSON, []Entry{a, b}, ""},
		{"json: extra keys, later wins", `{"a": {"weight": 4}, "a": {"weight": 10, "rack": null, "Enabled": false}}`, JSON, []Entry{a}, ""},
		{"json: wrong types", "{\n\"a\": {\"weight\": \"7\", \"enabled\": 0},\n\"c\": {\"weight\": 1.5, \"enabled\": null}, \"d\": {\"weight\": 1e1}}", JSON,
			[]Entry{a, {"c", 10, true}, {"d", 10, true}},
			`line 2: server a: weight is no whole number: taken for 10
line 2: server a: enabled is neither true nor false: taken for true
line 3: server c: weight is no whole number: taken for 10
line 3: server c: enabled is neither true nor false: taken for true
line 3: server d: weight is no whole number: taken for 10`},
		{"json: no servers", `{"a": 5, "c": null, "": {}, "d e": {}, "b": {"weight": 3, "enabled": false}}`, JSON, []Entry{b},
			"line 1: server a: not a JSON object\nline 1: server c: not a JSON object\nline 1: host is empty\nline 1: host \"d e\" is no name of a server"},
		{"json: negative", `{"a": {"weight": -3}}`, JSON, []Entry{}, "line 1: server a: weight -3 is outside 0 to 65535"},
		{"json: cut", "{\n\"a\": {},\n\"b\": {\"wei", JSON, []Entry{}, "line 3: ends in the middle of the JSON text"},
		{"json: broken", "{\"a\": {}, }", JSON, []Entry{}, "line 1: invalid character '}' "},
		{"json: two", `{"a": {}} {"b": {}}`, JSON, []Entry{}, "line 1: something stands behind the JSON object"},
		{"json: list", `["a"]`, JSON, []Entry{}, "line 1: not a JSON object"},
		{"json: empty", ``, JSON, []Entry{}, "line 1: ends in the middle of the JSON text"},
		{"json: nobody", `{}`, JSON, []Entry{}, ""},
		{"json: latin-1", "{\"\xe9\": {}}", JSON, []Entry{}, "line 1: not UTF-8 text"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, problems := Parse([]byte(tt.text), tt.form)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
			if text := join(problems); text != tt.problems && !(strings.HasSuffix(tt.problems, " ") && strings.HasPrefix(text, tt.problems)) {
				t.Errorf("problems:\n%s\nwant:\n%s", text, tt.problems)
			}
		})
	}
}

func TestTruncatedIsTold(t *testing.T) {
	whole := "{'host': 'a', 'weight': 10, 'enabled': True}\n{'host': 'b', 'weight': 10, 'enabled': True}\n"
	for i := 46; i < len(whole)-1; i++ {
		_, problems := Parse([]byte(whole[:i]), Dict)
		if i < len(whole)-2 && (len(problems) != 1 || !errors.Is(problems[0], ErrTruncated)) {
			t.Errorf("%q: %v", whole[:i], problems)
		}
	}
	for _, text := range []string{`{"a"`, `{"a": {`, `{"a": {}`, `{"a": {}, "b`} {
		_, problems := Parse([]byte(text), JSON)
		if len(problems) != 1 || !errors.Is(problems[0], ErrTruncated) {
			t.Errorf("%q: %v", text, problems)
		}
	}
}

func TestWrite(t *testing.T) {
	entries := []Entry{{"b'\\é", 0, false}, {"a", 10, true}}
	for form, want := range map[Form]string{
		Dict: "{ 'host': 'a', 'weight':10, 'enabled': True }\n{ 'host': 'b\\'\\\\é', 'weight':0, 'enabled': False }\n",
		JSON: "{\n  \"a\": {\"enabled\": true, \"weight\": 10},\n  \"b'\\\\é\": {\"enabled\": false, \"weight\": 0}\n}\n",
	} {
		var b bytes.Buffer
		if err := Write(&b, entries, form); err != nil || b.String() != want {
			t.Errorf("%s: %v\n%s", form, err, b.String())
		}
	}
	if entries[0].Host != "b'\\é" {
		t.Error("Write sorted its argument")
	}
	for want, bad := range map[string][]Entry{
		"listed twice":  {{"a", 1, true}, {"a", 2, true}},
		"outside 0 to":  {{"a", -1, true}},
		"host is empty": {{}},
		"no name of":    {{"a\nb", 1, true}},
	} {
		var b bytes.Buffer
		if err := Write(&b, bad, Dict); err == nil || !strings.Contains(err.Error(), want) || b.Len() > 0 {
			t.Errorf("%v: %v, wrote %q", bad, err, b.String())
		}
	}
}

func TestWriteGroup(t *testing.T) {
	var b bytes.Buffer
	err := WriteGroup(&b, []Section{{"pools/eqiad/web/http", []string{"b", "a"}}, {"pools/codfw/web/http\n", []string{"c", "a"}}})
	if want := "# pools/eqiad/web/http\na\nb\n# pools/codfw/web/http\nc\n"; err != nil || b.String() != want {
		t.Errorf("%v\n%s", err, b.String())
	}
	if err := WriteGroup(&b, []Section{{"", []string{"a b"}}}); err == nil {
		t.Error("took a host with a blank")
	}
}

// What is written is read back, in both forms, whatever the pool.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		host := rapid.OneOf(rapid.StringMatching(`[a-z0-9.-]{1,20}`), rapid.StringN(1, 10, 40)).
			Filter(func(s string) bool { return CheckHost(s) == nil })
		pool := rapid.MapOf(host, rapid.Custom(func(t *rapid.T) Entry {
			return Entry{Weight: rapid.IntRange(0, MaxWeight).Draw(t, "weight"), Enabled: rapid.Bool().Draw(t, "enabled")}
		})).Draw(t, "pool")
		entries := []Entry{}
		for host, e := range pool {
			e.Host = host
			entries = append(entries, e)
		}
		for _, form := range []Form{Dict, JSON} {
			var b, again bytes.Buffer
			if err := Write(&b, entries, form); err != nil {
				t.Fatal(err)
			}
			got, problems := Parse(b.Bytes(), form)
			if len(problems) > 0 || len(got) != len(entries) {
				t.Fatalf("%s: %v\n%s", form, problems, b.String())
			}
			for _, e := range got {
				if want := pool[e.Host]; e.Weight != want.Weight || e.Enabled != want.Enabled {
					t.Fatalf("%s: %v", form, e)
				}
			}
			if err := Write(&again, got, form); err != nil || !bytes.Equal(b.Bytes(), again.Bytes()) {
				t.Fatalf("%s: not the same again: %v", form, err)
			}
		}
	})
}

func FuzzParseDict(f *testing.F) {
	f.Add([]byte("# x\n{ 'host': 'a', 'weight':10, 'enabled': True }\n{'host': 'b'"))
	fuzz(f, Dict)
}

func FuzzParseJSON(f *testing.F) {
	f.Add([]byte(`{"a": {"weight": 1, "enabled": false}, "b": {}}`))
	fuzz(f, JSON)
}

// fuzz wants of any input that what is read can be written and read again.
func fuzz(f *testing.F, form Form) {
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, problems := Parse(data, form)
		for _, p := range problems {
			if p.Line < 1 || strings.Contains(p.Error(), "\n") {
				t.Errorf("problem %q", p.Error())
			}
		}
		var b bytes.Buffer
		if err := Write(&b, entries, form); err != nil {
			t.Fatal(err)
		}
		again, problems := Parse(b.Bytes(), form)
		if diff := cmp.Diff(entries, again); diff != "" || len(problems) > 0 {
			t.Errorf("read again: %v\n%s", problems, diff)
		}
	})
}

func join(problems []Problem) string {
	var lines []string
	for _, p := range problems {
		lines = append(lines, p.Error())
	}
	return strings.Join(lines, "\n")
}
