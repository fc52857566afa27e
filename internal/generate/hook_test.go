package generate

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestHookWords(t *testing.T) {
	for _, c := range []struct {
		flags       []string
		want, error string
	}{
		{nil, "", ""},
		{[]string{"check"}, "check FILE", ""},
		{[]string{"check", "-f", "{}", "-v"}, "check -f FILE -v", ""},
		{[]string{"[check, '--file={}', 'a b']"}, "check --file=FILE a b", ""},
		{[]string{"[]"}, "", "names no command"},
		{[]string{""}, "", "names no command"},
		{[]string{"[a, [b]]"}, "", "cannot unmarshal"},
		{[]string{"[a"}, "", "did not find"},
	} {
		h, err := ParseHook("check", c.flags)
		if c.error != "" {
			if err == nil || !strings.Contains(err.Error(), c.error) {
				t.Errorf("%q: %v", c.flags, err)
			}
			continue
		}
		if err != nil || h != nil && strings.Join(h.words("FILE"), " ") != c.want {
			t.Errorf("%q: %v, %v", c.flags, h.words("FILE"), err)
		}
	}
	if words := (Hook{"reload", "{}"}).words(""); words[1] != "{}" || len(words) != 2 {
		t.Errorf("without a file: %q", words)
	}
}

// A hook that hangs is killed with all it has started.
func TestHookIsKilledWithItsChildren(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	pipe := filepath.Join(t.TempDir(), "started")
	h := Hook{"sh", "-c", "sleep 1000 & echo $! >" + pipe + ".new && mv " + pipe + ".new " + pipe + "; wait"}
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx, "") }()
	var child string
	for child == "" {
		data, _ := os.ReadFile(pipe)
		child = strings.TrimSpace(string(data))
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for alive(child) { // the kernel takes its time to end it
		if time.Now().After(deadline) {
			t.Fatalf("child %s is alive", child)
		}
	}
}

// alive tells whether a process is more than a zombie.
func alive(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}
