package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplitWords(t *testing.T) {
	tests := []struct {
		text string
		want []string
		err  string
	}{
		{"", nil, ""},
		{"  vi\t-n ", []string{"vi", "-n"}, ""},
		{`sed -i 's/a b/c/'`, []string{"sed", "-i", "s/a b/c/"}, ""},
		{`"a \"b\" \n" c\ d ''`, []string{`a "b" \n`, "c d", ""}, ""},
		{`a'b'"c"d`, []string{"abcd"}, ""},
		{`'\'`, []string{`\`}, ""},
		{`a 'b`, nil, "quotation mark"},
		{`a \`, nil, "backslash"},
		{"$HOME `x` ;", []string{"$HOME", "`x`", ";"}, ""},
	}
	for _, tt := range tests {
		got, err := splitWords(tt.text)
		if diff := cmp.Diff(tt.want, got); diff != "" || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%q: %v (-want +got):\n%s", tt.text, err, diff)
		}
	}
}

func FuzzSplitWords(f *testing.F) {
	f.Add(`a 'b c' "d\"" \`)
	f.Fuzz(func(t *testing.T, s string) {
		words, err := splitWords(s)
		if err != nil {
			return
		}
		var quoted []string
		for _, w := range words {
			quoted = append(quoted, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
		}
		again, err := splitWords(strings.Join(quoted, " "))
		if diff := cmp.Diff(words, again); err != nil || diff != "" {
			t.Errorf("%q: %v\n%s", s, err, diff)
		}
	})
}
