package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sample() *table {
	t := &table{head: []string{"NAME", "STATE", "WHY"}}
	t.add(map[string]int{"n": 1}, cell{text: "lb1"}, cell{text: "ok", tint: green}, cell{})
	t.add(map[string]int{"n": 2}, cell{text: "älb22"}, cell{text: "unknown", tint: red}, cell{text: "<silent>"})
	return t
}

func TestTableLinesUpWithAndWithoutColour(t *testing.T) {
	want := "NAME   STATE    WHY\nlb1    ok\nälb22  unknown  <silent>\n"
	if diff := cmp.Diff(want, sample().text(false)); diff != "" {
		t.Errorf("plain (-want +got):\n%s", diff)
	}
	want = "NAME   STATE    WHY\nlb1    \x1b[32mok\x1b[0m\nälb22  \x1b[31munknown\x1b[0m  <silent>\n"
	if diff := cmp.Diff(want, sample().text(true)); diff != "" {
		t.Errorf("coloured (-want +got):\n%s", diff)
	}
}

func TestTableForPrograms(t *testing.T) {
	for f, want := range map[string]string{
		formatJSON:  "[\n  {\n    \"n\": 1\n  },\n  {\n    \"n\": 2\n  }\n]\n",
		formatYAML:  "- n: 1\n- n: 2\n",
		formatLines: "{\"n\":1}\n{\"n\":2}\n",
	} {
		var out bytes.Buffer
		if err := sample().print(Env{Stdout: &out}, f); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", f, diff)
		}
	}
	var out bytes.Buffer
	if err := (&table{}).print(Env{Stdout: &out}, formatJSON); err != nil || out.String() != "[]\n" {
		t.Errorf("nothing: %q, %v", out.String(), err)
	}
}

// /dev/null is as good a character device as any for the question asked.
func TestColourIsForTerminals(t *testing.T) {
	device, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, c := range []struct {
		name string
		env  Env
		want bool
	}{
		{"terminal", Env{Stdout: device, Getenv: vars(nil)}, true},
		{"NO_COLOR", Env{Stdout: device, Getenv: vars(map[string]string{"NO_COLOR": "1"})}, false},
		{"dumb", Env{Stdout: device, Getenv: vars(map[string]string{"TERM": "dumb"})}, false},
		{"file", Env{Stdout: file, Getenv: vars(nil)}, false},
		{"buffer", Env{Stdout: new(bytes.Buffer), Getenv: vars(nil)}, false},
	} {
		if got := colourful(c.env); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func vars(m map[string]string) func(string) string {
	return func(name string) string { return m[name] }
}
