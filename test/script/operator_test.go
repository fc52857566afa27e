package script_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"
)

// operatorCommands are what stories about an operator's tools need:
//
//	base                             conftool's base state: seven nodes
//	[!] stored KEY [VALUE]           that is, or is not, what is stored below
//	                                 /conftool/v1/, byte by byte
//	revision mark|same               remember the store's revision; it is still
//	                                 that, so nothing at all was written
//	bot start ADDR                   a chat bot that listens
//	bot heard REGEXP                 the next message it got
//	bot silent                       it got none
//	[!] tty FILE PROGRAM [ARG…]      run with a terminal at which FILE is
//	                                 typed; what it shows goes to the file tty
//	[!] meanwhile KEY VALUE PROGRAM [ARG…]
//	                                 run, and while it asks at "confctl>", store
//	                                 the value (none: delete it), then answer y
func operatorCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"base":      func(ts *testscript.TestScript, _ bool, _ []string) { worldOf(ts).base(ts) },
		"stored":    func(ts *testscript.TestScript, neg bool, a []string) { worldOf(ts).stored(ts, neg, a) },
		"revision":  func(ts *testscript.TestScript, _ bool, a []string) { worldOf(ts).revisionIs(ts, a[0]) },
		"bot":       func(ts *testscript.TestScript, _ bool, a []string) { worldOf(ts).botDoes(ts, a) },
		"tty":       runTTY,
		"meanwhile": func(ts *testscript.TestScript, neg bool, a []string) { worldOf(ts).meanwhile(ts, neg, a) },
	}
}

// base stores the state the black-box cases of conftool start from, in place of
// all that was there.
func (w *world) base(ts *testscript.TestScript) {
	client := w.client(ts)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err := client.Delete(ctx, "/conftool/", clientv3.WithPrefix())
	ts.Check(err)
	for key, value := range map[string]string{
		"eqiad/cache_text/https/cp1001":   `{"weight": 10, "pooled": "yes"}`,
		"eqiad/cache_text/https/cp1002":   `{"weight": 10, "pooled": "yes"}`,
		"eqiad/cache_text/https/cp1003":   `{"weight": 10, "pooled": "no"}`,
		"eqiad/cache_text/varnish/cp1001": `{"weight": 1, "pooled": "yes"}`,
		"eqiad/cache_text/varnish/cp1002": `{"weight": 1, "pooled": "yes"}`,
		"eqiad/appservers/apache/mw1001":  `{"weight": 30, "pooled": "yes"}`,
		"codfw/cache_text/https/cp2001":   `{"weight": 10, "pooled": "inactive"}`,
	} {
		_, err := client.Put(ctx, "/conftool/v1/pools/"+key, value)
		ts.Check(err)
	}
}

func (w *world) stored(ts *testscript.TestScript, neg bool, args []string) {
	client := w.client(ts)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	resp, err := client.Get(ctx, "/conftool/v1/"+args[0])
	ts.Check(err)
	got := "(nothing)"
	if len(resp.Kvs) > 0 {
		got = string(resp.Kvs[0].Value)
	}
	is := len(resp.Kvs) > 0
	if len(args) > 1 {
		is = got == args[1]
	}
	if is == neg {
		ts.Fatalf("%s holds %s", args[0], got)
	}
}

func (w *world) revisionIs(ts *testscript.TestScript, verb string) {
	client := w.client(ts)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	resp, err := client.Get(ctx, "none")
	ts.Check(err)
	if verb == "mark" {
		w.marked = resp.Header.Revision
	} else if resp.Header.Revision != w.marked {
		ts.Fatalf("something was written: revision %d, was %d", resp.Header.Revision, w.marked)
	}
}

// bot takes one message per connection.
type bot struct {
	net.Listener
	heard chan string
}

func (b *bot) serve() {
	for {
		conn, err := b.Accept()
		if err != nil {
			return
		}
		text, _ := io.ReadAll(conn)
		_ = conn.Close()
		b.heard <- string(text)
	}
}

func (w *world) botDoes(ts *testscript.TestScript, args []string) {
	if args[0] == "start" {
		l, err := net.Listen("tcp", args[1])
		ts.Check(err)
		w.bot = &bot{Listener: l, heard: make(chan string, 100)}
		w.fakes = append(w.fakes, l)
		go w.bot.serve()
		return
	}
	const mark = "nothing was said before this"
	if args[0] == "silent" { // connections are taken in their order
		conn, err := net.Dial("tcp", w.bot.Addr().String())
		ts.Check(err)
		_, err = io.WriteString(conn, mark)
		ts.Check(err)
		ts.Check(conn.Close())
		args = []string{"heard", mark}
	}
	select {
	case got := <-w.bot.heard:
		if !regexp.MustCompile(args[1]).MatchString(got) {
			ts.Fatalf("the bot heard %q, not %s", got, args[1])
		}
	case <-time.After(10 * time.Second):
		ts.Fatalf("the bot heard nothing, not %s", args[1])
	}
}

// prepared returns a command in the script's directory and environment.
func prepared(ts *testscript.TestScript, args []string) *exec.Cmd {
	path := args[0]
	for _, dir := range strings.Split(ts.Getenv("PATH"), string(os.PathListSeparator)) {
		if info, err := os.Stat(dir + "/" + args[0]); err == nil && !info.IsDir() {
			path = dir + "/" + args[0]
			break
		}
	}
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "USER", "EDITOR", "TMPDIR", "SLUICE_CONFIG", "SLUICE_SCHEMA", "GOCOVERDIR"} {
		if v := ts.Getenv(name); v != "" {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	return cmd
}

func succeeded(ts *testscript.TestScript, neg bool, args []string, err error, output string) {
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.ExitCode() < 0) {
		ts.Fatalf("%v: %v\n%s", args, err, output)
	}
	if (err != nil) != neg {
		ts.Fatalf("%v: error %v\n%s", args, err, output)
	}
}

// runTTY runs a program whose stdin and stdout are a terminal.
func runTTY(ts *testscript.TestScript, neg bool, args []string) {
	ctrl, tty := openTTY(ts)
	cmd := prepared(ts, args[1:])
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, &stderr
	ts.Check(cmd.Start())
	ts.Check(tty.Close())
	_, err := io.WriteString(ctrl, ts.ReadFile(args[0]))
	ts.Check(err)
	shown, _ := io.ReadAll(ctrl) // ends with an error when the last one leaves
	err = cmd.Wait()
	ts.Check(ctrl.Close())
	text := strings.ReplaceAll(string(shown), "\r\n", "\n")
	ts.Check(os.WriteFile(ts.MkAbs("tty"), []byte(text), 0o644))
	ts.Check(os.WriteFile(ts.MkAbs("tty-stderr"), stderr.Bytes(), 0o644))
	succeeded(ts, neg, args, err, text+stderr.String())
}

// openTTY makes a pseudo-terminal: where the typing is done, and its line.
func openTTY(ts *testscript.TestScript) (ctrl, tty *os.File) {
	ctrl, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	ts.Check(err)
	fd := int(ctrl.Fd())
	ts.Check(unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	ts.Check(err)
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	ts.Check(err)
	return ctrl, tty
}

// meanwhile changes the store while a program waits for an answer.
func (w *world) meanwhile(ts *testscript.TestScript, neg bool, args []string) {
	cmd := prepared(ts, args[2:])
	stdin, err := cmd.StdinPipe()
	ts.Check(err)
	stdout, err := cmd.StdoutPipe()
	ts.Check(err)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	ts.Check(cmd.Start())
	var shown bytes.Buffer
	for !strings.HasSuffix(shown.String(), "confctl>") {
		if _, err := io.CopyN(&shown, stdout, 1); err != nil {
			_ = cmd.Wait()
			ts.Fatalf("%v asked nothing: %s%s", args[2:], &shown, &stderr)
		}
	}
	if args[1] == "" {
		client := w.client(ts)
		_, err := client.Delete(context.Background(), "/conftool/v1/"+args[0])
		ts.Check(errors.Join(err, client.Close()))
	} else {
		w.put(ts, args[0], args[1])
	}
	_, err = io.WriteString(stdin, "y\n")
	ts.Check(errors.Join(err, stdin.Close()))
	rest, err := io.ReadAll(stdout)
	ts.Check(err)
	err = cmd.Wait()
	ts.Check(os.WriteFile(ts.MkAbs("stdout.txt"), append(shown.Bytes(), rest...), 0o644))
	ts.Check(os.WriteFile(ts.MkAbs("stderr.txt"), stderr.Bytes(), 0o644))
	succeeded(ts, neg, args[2:], err, shown.String()+string(rest)+stderr.String())
}
