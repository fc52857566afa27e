package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every change in a real store is in its file, one by one.
func TestWatchFollowsEveryChange(t *testing.T) {
	w := newWorld(t, startEtcd(t), base())
	out := filepath.Join(w.dir, "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	wrote := make(lineChan, 100)
	env := plainEnv(w.vars, "generate", "pybal", "--out", out, "--watch")
	env.Stdout = wrote
	done := make(chan int, 1)
	go func() { done <- Confctl(ctx, env) }()
	for range 3 {
		<-wrote // one line for each service
	}
	for i := range 10 {
		w.put("pools/eqiad/cache_text/https/cp1001", fmt.Sprintf(`{"weight": %d, "pooled": "yes"}`, 20+i))
		if line := <-wrote; line != "eqiad/https: 3 hosts\n" {
			t.Errorf("wrote %q", line)
		}
		if data, err := os.ReadFile(filepath.Join(out, "eqiad/https")); err != nil || !strings.Contains(string(data), fmt.Sprintf("'weight':%d,", 20+i)) {
			t.Fatalf("%v: %s", err, data)
		}
	}
	cancel()
	if code := <-done; code != exitOK {
		t.Errorf("exit %d", code)
	}
}

// lineChan is a writer whose writes can be waited for.
type lineChan chan string

func (c lineChan) Write(p []byte) (int, error) {
	c <- string(p)
	return len(p), nil
}

// plainEnv is an environment with these variables and nothing to read.
func plainEnv(vars map[string]string, args ...string) Env {
	return Env{
		Args: args, Stdin: strings.NewReader(""), Stdout: new(strings.Builder), Stderr: new(strings.Builder),
		Getenv: func(name string) string { return vars[name] }, Hostname: func() (string, error) { return "here.example", nil },
	}
}
