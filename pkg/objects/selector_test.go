package objects

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// base is conftool.md's base state B, as keys.
func base() []string {
	return []string{
		"codfw/cache_text/https/cp2001",
		"eqiad/appservers/apache/mw1001",
		"eqiad/cache_text/https/cp1001", "eqiad/cache_text/https/cp1002", "eqiad/cache_text/https/cp1003",
		"eqiad/cache_text/varnish/cp1001", "eqiad/cache_text/varnish/cp1002",
	}
}

func selected(t *testing.T, s *Selector) []string {
	t.Helper()
	var got []string
	for _, path := range base() {
		k, err := Node().ParseKey(path)
		if err != nil {
			t.Fatal(err)
		}
		if s.Match(k) {
			if !strings.HasPrefix(path, s.Prefix()) {
				t.Errorf("%s: prefix %q leaves out %s", s, s.Prefix(), path)
			}
			got = append(got, path)
		}
	}
	return got
}

func TestParseSelector(t *testing.T) {
	tests := []struct {
		text, prefix string
		want         []string
	}{
		{"name=mw1001", "", base()[1:2]},
		{"name=cp1001", "", []string{"eqiad/cache_text/https/cp1001", "eqiad/cache_text/varnish/cp1001"}},
		{"name=cp1", "", nil},
		{"dc=eqiad,name=cp.*", "eqiad/", base()[2:]},
		{"name=(cp1001|cp2001),service=https", "", []string{"codfw/cache_text/https/cp2001", "eqiad/cache_text/https/cp1001"}},
		{"name=cp1|cp1001,service=https", "", base()[2:3]},
		{"name=cp1|zz,service=https", "", nil},
		{"name=cp[,1]0{1,3}2,service=https", "", base()[3:4]},
		{"name=(?:cp1001|a,b),service=https", "", base()[2:3]},
		{`name=\Qcp1001\E,service=https`, "", base()[2:3]},
		{"service=https,cluster=cache_text,dc=eqiad", "eqiad/cache_text/https/", base()[2:5]},
		{"service=https,cluster=cache_text,dc=eqiad,name=cp1001", "eqiad/cache_text/https/cp1001", base()[2:3]},
		{"service=https,cluster=cache_.*,dc=eqiad", "eqiad/", base()[2:5]},
		{"cluster=cache_text,name=cp2001", "", base()[:1]},
		{"name=^mw1001$", "", base()[1:2]},
		{"name=(?i)MW1001", "", base()[1:2]},
		{"name=MW1001", "", nil},
		{"name=a=b", "", nil},
		{"name!=cp.*", "", base()[1:2]},
		{"name=cp.*,name!=cp1001,name!=cp1002", "", []string{"codfw/cache_text/https/cp2001", "eqiad/cache_text/https/cp1003"}},
		{"dc!=eqiad", "", base()[:1]},
		{"dc=eqiad,cluster!=cache_text,service=apache", "eqiad/", base()[1:2]},
		{`name="cp1001|a,b",service='https'`, "", base()[2:3]},
		{`name="mw1001"`, "", base()[1:2]},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			s, err := Node().ParseSelector(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, selected(t, s)); diff != "" {
				t.Errorf("selected (-want +got):\n%s", diff)
			}
			if s.Prefix() != tt.prefix || s.String() != tt.text {
				t.Errorf("prefix %q, text %q; want %q, %q", s.Prefix(), s, tt.prefix, tt.text)
			}
		})
	}
}

func TestParseSelectorRefuses(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", "selector: empty"},
		{"cp1001", `term "cp1001": want TAG=REGEX`},
		{"host=mw1415", `unknown tag "host"`},
		{"name=a, service=b", `unknown tag " service"`},
		{"name=a,", `term "": want TAG=REGEX`},
		{"name=", "tag name: empty expression"},
		{"name=[", "missing closing ]"},
		{"name=[,service=x", "missing closing ]"},
		{"name=(,service=x", "missing closing )"},
		{"name=a)|(b", "unexpected )"},
		{`name=a\`, "trailing backslash"},
		{"service=https,name=(?!cp1).*", "look-around (?!…) is not supported: what should not match is name!=REGEX"},
		{"dc=(?<=cp).*", "look-around (?<=…) is not supported: what should not match is dc!=REGEX"},
		{"name!", "want TAG=REGEX"},
		{"name!=", "empty expression"},
		{"!=x", `unknown tag ""`},
		{"pooled=no,pooled=yes", "tag pooled is there twice"},
		{`name=(a)\1`, "invalid escape sequence"},
		{"name=cp1001,name=cp1003", "tag name is there twice"},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			_, err := Node().ParseSelector(tt.text)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %s", err, tt.want)
			}
			if !strings.Contains(err.Error(), "dc, cluster, service, name") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q does not list the tags in one line", err)
			}
		})
	}
}

func TestMatchFields(t *testing.T) {
	things := &Type{Name: "thing", Path: "things", Tags: []string{"dc"}, Fields: []Field{
		{Name: "weight", Kind: Int, Default: 7}, {Name: "pooled", Kind: Enum, Enum: []string{"yes", "no"}, Default: "no"},
		{Name: "up", Kind: Bool, Default: false}, {Name: "list", Kind: List, Default: []any{}}, {Name: "dc", Kind: String, Default: "x"},
	}}
	tests := []struct {
		text, raw string
		want      bool
		err       string
	}{
		{"pooled=no", `{"pooled": "no"}`, true, ""},
		{"pooled=no", `{"pooled": "yes"}`, false, ""},
		{"pooled=n", `{"pooled": "no"}`, false, ""},
		{"pooled!=yes", `{}`, true, ""},
		{"weight=7,pooled=(yes|no)", `{"weight": null}`, true, ""},
		{"weight=0", `{"weight": "0"}`, true, ""},
		{"weight!=0", `{"weight": 0}`, false, ""},
		{"weight=1.*,weight!=10", `{"weight": 10}`, false, ""},
		{"up=true", `{"up": true}`, true, ""},
		{`list='\["a", "b"\]'`, `{"list":["a","b"]}`, true, ""},
		{"dc=here", `{"dc": "nowhere"}`, true, ""},
		{"pooled=no", `{"pooled": "maybe"}`, false, "thing here/a: field pooled: maybe not in 'yes | no'"},
		{"pooled!=no", `{"pooled": "maybe"}`, false, "field pooled"},
		{"weight=7", `{"weight`, false, "thing here/a: malformed JSON"},
		{"name=a", `{"weight`, true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			s, err := things.ParseSelector(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			o := Object{Type: things, Key: Key{Tags: "here", Name: "a"}, Raw: []byte(tt.raw)}
			got, err := s.MatchFields(o)
			if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: got %v, %v", tt.raw, got, err)
			}
			if !s.Match(o.Key) || s.Prefix() != "" && s.Prefix() != "here/" {
				t.Errorf("a field narrows the keys: prefix %q", s.Prefix())
			}
		})
	}
}

func TestParseNameStart(t *testing.T) {
	p, err := ParseNameStart("cp1|zz")
	if err != nil || !p.MatchString("cp1001") || p.MatchString("acp1") || p.MatchString("az") {
		t.Errorf("got %v, %v", p, err)
	}
	if _, err := ParseNameStart("a)|(b"); err == nil {
		t.Error("an unbalanced expression escaped its group")
	}
	if _, err := ParseNameStart("(?!a)"); err == nil || !strings.Contains(err.Error(), "look-around") {
		t.Errorf("got %v", err)
	}
}

func TestBraceThatIsNoRepetition(t *testing.T) {
	s, err := Node().ParseSelector("name=a{,service=apache")
	if err != nil {
		t.Fatal(err)
	}
	if !s.Match(Key{Tags: "x/y/apache", Name: "a{"}) {
		t.Error("the comma was taken for part of the expression")
	}
}

func TestSelectExact(t *testing.T) {
	s, err := Node().SelectExact(map[string]string{"name": "cp1001", "service": "https"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(base()[2:3], selected(t, s)); diff != "" || s.String() != "service=https,name=cp1001" {
		t.Errorf("%s selected (-want +got):\n%s", s, diff)
	}
	if s, err = Node().SelectExact(map[string]string{"name": "cp.*|.+"}); err != nil || selected(t, s) != nil {
		t.Errorf("a value was taken for an expression: %v", err)
	}
	if _, err = Node().SelectExact(map[string]string{"host": "x"}); err == nil {
		t.Error("unknown tag accepted")
	}
}

// Terms joined by commas are found again, whatever balanced expressions hold.
func TestSplitTermsFindsTheCommas(t *testing.T) {
	piece := rapid.SampledFrom([]string{"a", "-", `\(`, `\,`, "[,(]", "[]{,]", "[^],]", "[[:alpha:],]", "(a,b)", "(a(,)|b)", "x{1,2}", "x{3,}", `\Q(,\E`, "{", "}", "=", `"`})
	rapid.Check(t, func(t *rapid.T) {
		terms := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
			return strings.Join(rapid.SliceOfN(piece, 1, 5).Draw(t, "pieces"), "")
		}), 1, 4).Draw(t, "terms")
		if diff := cmp.Diff(terms, splitTerms(strings.Join(terms, ","))); diff != "" {
			t.Fatal(diff)
		}
	})
}
