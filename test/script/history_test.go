package script_test

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/rogpeppe/go-internal/testscript"
)

// historyCommands are what scripts about the history and its watchers can do.
func historyCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"changeid": changeID,
		"record":   func(ts *testscript.TestScript, _ bool, a []string) { worldOf(ts).record(ts, a[0], a[1]) },
		"compact":  func(ts *testscript.TestScript, _ bool, _ []string) { worldOf(ts).compact(ts) },
		"listen":   listen,
		"heard":    heard,
		"hush":     hush,
		"expect":   expect,
	}
}

// changeID sets an environment variable to the ID of the first change in a file
// of history -o jsonl.
func changeID(ts *testscript.TestScript, _ bool, args []string) {
	line, _, _ := strings.Cut(ts.ReadFile(args[0]), "\n")
	var change struct{ ID string }
	ts.Check(json.Unmarshal([]byte(line), &change))
	if change.ID == "" {
		ts.Fatalf("no change in %q", line)
	}
	ts.Setenv(args[1], change.ID)
}

// record stores a raw audit record.
func (w *world) record(ts *testscript.TestScript, key, value string) {
	client := w.client(ts)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err := client.Put(ctx, "/conftool/sluice/changes/"+key, value)
	ts.Check(err)
}

// compact makes the store forget all but its present state.
func (w *world) compact(ts *testscript.TestScript) {
	client := w.client(ts)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	resp, err := client.Get(ctx, "none")
	ts.Check(err)
	_, err = client.Compact(ctx, resp.Header.Revision, clientv3.WithCompactPhysical())
	ts.Check(err)
}

// listener is a program that runs beside a script, its output in a file.
type listener struct {
	cmd *exec.Cmd
	out *os.File
}

// Close ends the program, unless the script has.
func (l *listener) Close() error {
	_ = l.cmd.Process.Kill()
	_ = l.cmd.Wait()
	return l.out.Close()
}

// listen starts a program beside the script: its output goes to the file NAME.
func listen(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	out, err := os.Create(filepath.Join(w.dir, args[0]))
	ts.Check(err)
	program := args[1]
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if path := filepath.Join(dir, args[1]); !strings.Contains(program, "/") {
			if _, err := os.Stat(path); err == nil {
				program = path
			}
		}
	}
	cmd := exec.Command(program, args[2:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = w.dir, out, out
	cmd.Env = append(os.Environ(), "SLUICE_CONFIG="+ts.Getenv("SLUICE_CONFIG"), "USER="+ts.Getenv("USER"))
	ts.Check(cmd.Start())
	l := &listener{cmd, out}
	w.listeners[args[0]] = l
	w.fakes = append(w.fakes, io.Closer(l))
}

// heard waits until what a program beside the script has said matches.
func heard(ts *testscript.TestScript, _ bool, args []string) {
	pattern := regexp.MustCompile("(?m)" + args[1])
	deadline := time.Now().Add(20 * time.Second)
	for {
		text, err := os.ReadFile(filepath.Join(worldOf(ts).dir, args[0]))
		ts.Check(err)
		if pattern.Match(text) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("heard %s: never %s; but\n%s", args[0], args[1], text)
		}
		time.Sleep(20 * time.Millisecond) // a pause between questions, not a wait for an outcome
	}
}

// hush ends a program beside the script as Ctrl-C does, and wants exit code 0.
func hush(ts *testscript.TestScript, _ bool, args []string) {
	l := worldOf(ts).listeners[args[0]]
	ts.Check(l.cmd.Process.Signal(syscall.SIGINT))
	ts.Check(l.cmd.Wait())
}

// expect compares the lines of a watch with those wanted, in which TIME, ID and
// HOST stand for those of the moment. Trouble is told on lines of its own, which
// do not count.
func expect(ts *testscript.TestScript, _ bool, args []string) {
	volatile := []struct{ pattern, name string }{
		{`(?m)^confctl: .*\n`, ""}, {`"time":"[^"]*"`, `"time":TIME`}, {`"change":"[^"]*"`, `"change":ID`},
		{`"host":"[^"]*"`, `"host":"HOST"`}, {`(?m)^20\S+Z`, "TIME"}, {`@[^\s,]+`, "@HOST"},
	}
	got := ts.ReadFile(args[0])
	for _, v := range volatile {
		got = regexp.MustCompile(v.pattern).ReplaceAllString(got, v.name)
	}
	if want := ts.ReadFile(args[1]); got != want {
		ts.Fatalf("got\n%s\nwant\n%s", got, want)
	}
}
