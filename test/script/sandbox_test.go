package script_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// printed says, for every command the sandbox prints, what its output must
// match when it is typed as printed. A command not listed fails the test.
var printed = []struct{ command, output string }{
	{`^\. /.*/env$`, `^$`},
	{`^confctl select 'cluster=web' get`, `(?s)"web1.sandbox": {"weight": 10, "pooled": "yes"}.*"web6.sandbox"`},
	{`^curl http://[0-9.:]+/ `, `^web\d.sandbox, start 1\n$`},
	{`^confctl status`, `(?s)web_17080 +lb1 +ok +6/6/6.*web_17080 +lb2 +ok +6/6/6`},
	{`^depool --hostname web1.sandbox`, `(?s)web1.sandbox: pooled changed yes => no.*confirmed by lb1, lb2 at revision \d+`},
	{`^for i in 1 2 3 4 5 6; do curl`, `^(web[2-6].sandbox, start 1\n){6}$`},
	{`^restart-web2`, `(?s)pooled=no at revision.*confirmed by every balancer.*restarting web2.service.*confirmed by every balancer: web2.sandbox is enabled/up/pooled`},
	{`^pool --hostname web1.sandbox`, `web1.sandbox: pooled changed no => yes`},
	{`^confctl history`, `(?s)web1.sandbox +pooled no => yes.*web2.sandbox +pooled no => yes.*web1.sandbox +pooled yes => no`},
	{`^curl http://[0-9.:]+/pools/`, `(?m)^web3.sandbox:\tenabled/up/pooled$`},
	{`^curl 'http://[0-9.:]+/v1/pools/`, `"host":"web1.sandbox".*"revision":\d+`},
}

// What the sandbox prints works as printed, in a second terminal.
func TestSandboxCommandsWorkAsPrinted(t *testing.T) {
	bin := build(t)
	sandbox := exec.Command(filepath.Join(bin, "sandbox"), "--net", "127.91")
	sandbox.Stderr = os.Stderr
	out, err := sandbox.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := sandbox.Start(); err != nil {
		t.Fatal(err)
	}
	stop := time.AfterFunc(time.Minute, func() { _ = sandbox.Process.Kill() })
	defer stop.Stop()
	var commands []string
	var dir string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		line := lines.Text()
		if command, ok := strings.CutPrefix(line, "  "); ok {
			commands = append(commands, command)
		}
		if m := regexp.MustCompile(`^Everything is below (.*);`).FindStringSubmatch(line); m != nil {
			dir = m[1]
		}
		if strings.HasPrefix(line, "Status pages: ") {
			break
		}
	}
	if len(commands) < len(printed) || dir == "" {
		t.Fatalf("sandbox printed %q", commands)
	}
	try(t, commands)

	if err := sandbox.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := sandbox.Wait(); err != nil {
		t.Errorf("sandbox ended with %v", err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}

// try types the commands into one shell and checks what each prints.
func try(t *testing.T, commands []string) {
	t.Helper()
	var script strings.Builder
	for i, command := range commands {
		fmt.Fprintf(&script, "echo '== %d'\n%s\n", i, command)
	}
	shell := exec.Command("sh", "-e")
	shell.Stdin = strings.NewReader(script.String())
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("a command failed: %v\n%s", err, out)
	}
	parts := regexp.MustCompile(`(?m)^== \d+\n`).Split(string(out), -1)[1:]
	for i, command := range commands {
		known := false
		for _, p := range printed {
			if regexp.MustCompile(p.command).MatchString(command) {
				known = true
				if !regexp.MustCompile(p.output).MatchString(withoutProgress(parts[i])) {
					t.Errorf("$ %s\nprinted %q, want a match of %q", command, parts[i], p.output)
				}
				break
			}
		}
		if !known {
			t.Errorf("$ %s\nnobody says what it should print", command)
		}
	}
}

// withoutProgress drops curl's progress meter, which it prints where its output
// is no terminal.
func withoutProgress(out string) string {
	var kept []string
	for _, line := range strings.SplitAfter(out, "\n") {
		if i := strings.LastIndex(line, "\r"); i >= 0 {
			line = line[i+1:]
			line = regexp.MustCompile(`^[ \d:.kMG-]+(\n|$)`).ReplaceAllString(line, "")
		}
		if !strings.HasPrefix(strings.TrimSpace(line), "% Total") && !strings.Contains(line, "Dload  Upload") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}
