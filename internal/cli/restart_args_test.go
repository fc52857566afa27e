package cli

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSpreadLists(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"--pools a b --depool --retries 10", "--pools=a --pools=b --depool --retries 10"},
		{"--depool --pools a", "--depool --pools=a"},
		{"--pools a --services x y", "--pools=a --services=x --services=y"},
		{"--pools=a --pool", "--pools=a --pool"},
		{"--pools --depool", ""},
		{"--depool --services", ""},
	} {
		got, err := spreadLists(strings.Fields(c.in), "--pools", "--services")
		if (err != nil) != (c.want == "") {
			t.Errorf("%s: %v", c.in, err)
		}
		if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s: %s", c.in, diff)
		}
	}
}

func TestSeconds(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"3": 3 * time.Second, "0.5": 500 * time.Millisecond, "-1": -time.Second, "500ms": 500 * time.Millisecond, "2m": 2 * time.Minute,
	} {
		var s seconds
		if err := s.Set(text); err != nil || s.duration() != want {
			t.Errorf("%s: %s, %v", text, s.duration(), err)
		}
	}
	for _, text := range []string{"", "x", "NaN", "inf", "1e9", "5 s", "100h"} {
		if err := new(seconds).Set(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestLineHandler(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(newLineHandler(&out, false)).With("a", 1)
	log.Debug("hidden")
	log.Warn("look", "b", "c")
	when, rest, ok := strings.Cut(out.String(), " [")
	if _, err := time.Parse("2006-01-02 15:04:05,000", when); err != nil || !ok || rest != "WARNING] look a=1 b=c\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}
