package lbd

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// stream is a real stream and what systemd would say about it.
func stream(t *testing.T) (in *bufio.Reader, out *os.File, name string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	info, err := w.Stat()
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	return bufio.NewReader(r), w, fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}

func logTo(w io.Writer, journal string) *slog.Logger {
	return logger(Env{Stderr: w, Getenv: func(name string) string {
		return map[string]string{"JOURNAL_STREAM": journal}[name]
	}}, true)
}

func TestLogForTheJournal(t *testing.T) {
	in, out, name := stream(t)
	log := logTo(out, name)
	log.Error("broken", "err", "first line\nsecond line")
	log.Warn("odd\nindeed")
	log.With("service", "web_80").WithGroup("now").Info("fine", "time", "now", "level", 3)
	log.Debug("", "why", `a "quoted" word`)
	out.Close()
	got, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	want := `<3>level=ERROR msg=broken err="first line\nsecond line"
<4>level=WARN msg="odd\nindeed"
<6>level=INFO msg=fine service=web_80 now.time=now now.level=3
<7>level=DEBUG msg="" why="a \"quoted\" word"
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A variable that is left over from somebody's parent, and stderr into a file,
// make an ordinary log.
func TestLogElsewhereHasATime(t *testing.T) {
	_, _, somebodys := stream(t)
	for _, journal := range []string{"", somebodys, "nonsense:"} {
		in, out, _ := stream(t)
		logTo(out, journal).Info("fine", "err", "a\nb")
		out.Close()
		got, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`^time=\S+ level=INFO msg=fine err="a\\nb"\n$`).Match(got) {
			t.Errorf("JOURNAL_STREAM=%s: %q", journal, got)
		}
	}
}

// Records of several goroutines and several handlers stay whole lines.
func TestJournalLinesStayWhole(t *testing.T) {
	in, out, name := stream(t)
	log := logTo(out, name)
	var writers sync.WaitGroup
	const each = 200
	for i := range 4 {
		writers.Go(func() {
			log := log.With("writer", i)
			for range each {
				log.Warn("a line")
			}
		})
	}
	go func() { writers.Wait(); out.Close() }()
	lines := 0
	for {
		text, err := in.ReadString('\n')
		if err != nil {
			break
		}
		lines++
		if !regexp.MustCompile(`^<4>level=WARN msg="a line" writer=\d\n$`).MatchString(text) {
			t.Fatalf("line %q", text)
		}
	}
	if lines != 4*each {
		t.Errorf("%d lines", lines)
	}
}

func TestComplaintsForTheJournal(t *testing.T) {
	in, out, name := stream(t)
	env := Env{Args: []string{"check-config", "/nowhere/x"}, Stderr: out, Stdout: io.Discard,
		Getenv: func(string) string { return name }}
	if code := Main(t.Context(), env); code != exitFailure {
		t.Errorf("exit %d", code)
	}
	out.Close()
	got, _ := io.ReadAll(in)
	if !strings.HasPrefix(string(got), "<3>lbd: read configuration: open /nowhere/x") {
		t.Errorf("%q", got)
	}
}
