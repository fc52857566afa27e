package lbd

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-lb/sluice/internal/problem"
)

// flatten returns every section's effective values.
func flatten(text string) (map[string]map[string]string, error) {
	p := &problem.List{File: "f"}
	ini := parseINI([]byte(text), p)
	got := map[string]map[string]string{}
	for _, s := range ini.sections {
		got[s.name] = map[string]string{}
		for name, o := range ini.effective(s, p) {
			got[s.name][name] = o.value
		}
	}
	return got, p.Err()
}

func TestINI(t *testing.T) {
	tests := []struct {
		name, text string
		want       map[string]string // of section [s]
	}{
		{"equals and colon", "[s]\na = 1\nb: 2\nc=3\nd:4", map[string]string{"a": "1", "b": "2", "c": "3", "d": "4"}},
		{"option names are lower-cased", "[s]\nIP = X", map[string]string{"ip": "X"}},
		{"first of = and : separates", "[s]\nurl = http://h:1/?a=b", map[string]string{"url": "http://h:1/?a=b"}},
		{"comment lines", "# c\n; c\nrem c\nREM\n[s]\n#a = 1\n;b = 2\nrem c = 3\nremote = x", map[string]string{"remote": "x"}},
		{"inline comments", "[s]\na = 1 ; c\nb = 1;2\nc = 1 # 2\nd = 1;2 ; 3\ne = ; c\nf = 1\t; c", map[string]string{
			"a": "1", "b": "1;2", "c": "1 # 2", "d": "1;2", "e": "", "f": "1"}},
		{"continuation", "[s]\na = 1\n  2\n\n\t3\nb =\n x", map[string]string{"a": "1\n2\n3", "b": "\nx"}},
		{"comment between continuation lines", "[s]\na = [\n# c\n  'x' ]", map[string]string{"a": "[\n'x' ]"}},
		{"indented option continues", "[s]\na = 1\n b = 2", map[string]string{"a": "1\nb = 2"}},
		{"empty value", "[s]\na =\nb = \"\"\nc = ''\nd = \"\" x", map[string]string{"a": "", "b": "", "c": "''", "d": `"" x`}},
		{"last option wins", "[s]\na = 1\nA = 2", map[string]string{"a": "2"}},
		{"sections merge", "[s]\na = 1\nb = 1\n[x]\n[s]\na = 2", map[string]string{"a": "2", "b": "1"}},
		{"defaults", "[DEFAULT]\na = 1\nb = 1\n[s]\nb = 2", map[string]string{"a": "1", "b": "2"}},
		{"defaults behind", "[s]\nb = 2\n[DEFAULT]\na = 1", map[string]string{"a": "1", "b": "2"}},
		{"interpolation", "[s]\na = <%(B)s>\nb = %(c)s%(c)s\nc = x", map[string]string{"a": "<xx>", "b": "xx", "c": "x"}},
		{"interpolation from defaults", "[DEFAULT]\nu = http://%(h)s/\n[s]\nh = x", map[string]string{"u": "http://x/", "h": "x"}},
		{"section name", "[s]\na = %(__name__)s", map[string]string{"a": "s"}},
		{"doubled percent", "[s]\na = 100%%\nb = %%(x)s", map[string]string{"a": "100%", "b": "%(x)s"}},
		{"carriage returns", "[s]\r\na = 1\r\n 2\r\n", map[string]string{"a": "1\n2"}},
		{"text behind a header", "[s] ; c\na = 1", map[string]string{"a": "1"}},
		{"deepest interpolation", "[s]\na = %(b)s\nb=%(c)s\nc=%(d)s\nd=x", map[string]string{"a": "x", "b": "x", "c": "x", "d": "x"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := flatten(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got["s"]); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestINIErrors(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"before any section", "# c\na = 1\n[s]", "f: line 2: text before the first [section]"},
		{"no separator", "[s]\nhello", "f: line 2: neither [section] nor option = value"},
		{"no name", "[s]\n= 1", "f: line 2: neither [section] nor option = value"},
		{"bad header", "[s\na = 1\n[]", "f: line 1: section header is not of the form [name]\nf: line 3: section header is not of the form [name]"},
		{"indented at once", "[s]\n a = 1", "f: line 2: indented line continues nothing"},
		{"bare percent", "[s]\na = 1\nb = x%20y", `f: line 3: [s] b: a bare "%" must be written "%%"`},
		{"percent at the end", "[s]\na = 5%", `f: line 2: [s] a: a bare "%" must be written "%%"`},
		{"not a string", "[s]\na = %(b)d", `f: line 2: [s] a: a bare "%" must be written "%%"`},
		{"refers to nothing", "[s]\na = %(b)s", "f: line 2: [s] a: %(b)s refers to no option"},
		{"refers to itself", "[s]\na = %(a)s", "f: line 2: [s] a: interpolation is nested more than 10 deep"},
		{"default once", "[DEFAULT]\na = %\n[s]\n[t]", `f: line 2: [DEFAULT] a: a bare "%" must be written "%%"`},
		{"not UTF-8", "[s]\na = \xff", "f: line 2: not UTF-8 text"},
		{"all at once, in order", "[s]\nx\na = %\ny", "f: line 2: neither [section] nor option = value\n" +
			"f: line 3: [s] a: a bare \"%\" must be written \"%%\"\nf: line 4: neither [section] nor option = value"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := flatten(tt.text)
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Ten levels of a hundred references each would be 10^20 bytes.
func TestINIInterpolationIsBounded(t *testing.T) {
	for _, leaf := range []string{"x", ""} {
		var b strings.Builder
		b.WriteString("[s]\n")
		for c := 'a'; c < 'j'; c++ {
			b.WriteString(string(c) + " = " + strings.Repeat("%("+string(c+1)+")s", 100) + "\n")
		}
		b.WriteString("j = " + leaf + "\n")
		_, err := flatten(b.String())
		if err == nil || !strings.Contains(err.Error(), "[s] a: interpolated value is too long") {
			t.Errorf("leaf %q: %v", leaf, err)
		}
	}
}

func TestINIOptionsKnowTheirLines(t *testing.T) {
	p := &problem.List{File: "f"}
	ini := parseINI([]byte("\n[s]\na = 1\nb = 2\n 3\n[t]\n[s]\na = 4\n"), p)
	got := map[string]int{"[s]": ini.sections[0].line, "[t]": ini.sections[1].line}
	for name, o := range ini.sections[0].options {
		got[name] = o.line
	}
	if diff := cmp.Diff(map[string]int{"[s]": 2, "[t]": 6, "a": 8, "b": 4}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
