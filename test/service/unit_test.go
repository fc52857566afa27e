package service_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// install runs make install into a directory of its own.
func install(t *testing.T, dir string, variables ...string) {
	t.Helper()
	lookAtSources(t)
	args := append([]string{"-C", "../..", "install", "OUT=" + filepath.Join(bin(), "out")}, variables...)
	if out, err := exec.Command("make", args...).CombinedOutput(); err != nil {
		t.Fatalf("make install: %v\n%s", err, out)
	}
}

// installed is one installation for all tests that look at the unit.
func installed() string { return filepath.Join(bin(), "installed") }

func unitFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(installed(), "lib/systemd/system/lbd.service")
	if _, err := os.Stat(path); err != nil {
		install(t, installed(), "PREFIX="+installed())
	}
	return path
}

func TestInstall(t *testing.T) {
	dir := t.TempDir()
	install(t, dir, "DESTDIR="+dir, "PREFIX=/usr")
	programs := names(t, filepath.Join(dir, "usr/bin"))
	want := []string{"confctl", "conftool-sync", "decommission", "depool", "drain", "lbd", "pool", "restart-service"}
	if diff := cmp.Diff(want, programs); diff != "" {
		t.Errorf("programs (-want +got):\n%s", diff)
	}
	for _, program := range programs {
		for _, file := range []string{"bin/" + program, "share/man/man1/" + program + ".1", "share/bash-completion/completions/" + program,
			"share/zsh/site-functions/_" + program, "share/fish/vendor_completions.d/" + program + ".fish"} {
			if info, err := os.Stat(filepath.Join(dir, "usr", file)); err != nil || info.Size() < 500 {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
	ours, err := os.ReadFile("../../dist/systemd/lbd.service")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile(filepath.Join(dir, "usr/lib/systemd/system/lbd.service"))
	if err != nil || string(theirs) != string(ours) {
		t.Errorf("the unit below /usr is another one: %v", err)
	}
}

func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// analyze runs systemd-analyze, which needs no systemd to run.
func analyze(t *testing.T, args ...string) (string, error) {
	t.Helper()
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skipf("SKIPPED: nobody here to judge the unit: %v (package systemd)", err)
	}
	out, err := exec.Command(program, args...).CombinedOutput()
	return string(out), err
}

func TestUnitIsUnderstood(t *testing.T) {
	if out, err := analyze(t, "verify", "--man=no", unitFile(t)); err != nil || out != "" {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	bad := filepath.Join(t.TempDir(), "lbd.service") // would it have said so?
	text, err := os.ReadFile(unitFile(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bad, append(text, "\n[Service]\nWatchdogSecs=1\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, _ := analyze(t, "verify", "--man=no", bad); !strings.Contains(out, "WatchdogSecs") {
		t.Errorf("systemd-analyze verify passes a bad unit: %q", out)
	}
}

// The unit's exposure is what systemd makes of it; 20 stands for 2.0 of 10.
func TestUnitIsHardened(t *testing.T) {
	out, err := analyze(t, "security", "--offline=yes", "--no-pager", "--threshold=20", unitFile(t))
	t.Log(regexp.MustCompile(`(?m)^.*Overall exposure.*$`).FindString(out))
	if err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}

// What the unit says about lbd has to be so: the file it checks is the one it
// runs with, and the capabilities are those that are enough.
func TestUnitFitsLbd(t *testing.T) {
	text, err := os.ReadFile(unitFile(t))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for _, want := range []string{
		"ExecStart=" + installed() + "/bin/lbd --config /etc/pybal/pybal.conf",
		"ExecReload=" + installed() + "/bin/lbd check-config /etc/pybal/pybal.conf",
		"AmbientCapabilities=CAP_NET_ADMIN CAP_NET_BIND_SERVICE",
		"CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_BIND_SERVICE",
		"KillMode=mixed",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("no line %s in\n%s", want, text)
		}
	}
}
