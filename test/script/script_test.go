// Package script_test drives the installed programs as their users do: real
// binaries, a real etcd in a process of its own, real sockets on loopback. Each
// *.txtar file is one story.
package script_test

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sluice-lb/sluice/internal/devetcd"
	"github.com/sluice-lb/sluice/internal/etcdv2/etcdv2test"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"devetcd": etcdMain})
}

// etcdMain is the program devetcd: "devetcd ADDR DIR" serves until killed.
func etcdMain() {
	s, err := devetcd.Start(devetcd.Options{Listen: os.Args[1], Dir: os.Args[2]})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
	_ = s.Close()
}

// networks hands every script a /24 of its own, so that scripts run side by side
// on the same ports.
var networks atomic.Uint32

// network is the second number of this process's addresses, so that two
// checkouts can be tested at once.
func network() int { return 100 + os.Getpid()%100 }

func TestScripts(t *testing.T) {
	bin := build(t)
	var v2 etcdv2test.Builder
	t.Cleanup(v2.Close)
	testscript.Run(t, testscript.Params{
		Dir:                 ".",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			w := &world{net: fmt.Sprintf("127.%d.%d", network(), networks.Add(1)), dir: env.WorkDir, listeners: map[string]*listener{}, builder: &v2}
			env.Values[worldKey{}] = w
			env.Defer(w.close)
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("NET", w.net)
			env.Setenv("ETCD", w.etcdAddr())
			env.Setenv("V2", "http://"+w.etcdV2Addr())
			env.Setenv("SITE_DATA", siteData())
			return os.WriteFile(filepath.Join(w.dir, "config.yaml"), fmt.Appendf(nil, "endpoints: [http://%s]\ntimeout: 3s\n", w.etcdAddr()), 0o644)
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "site-data":
				return siteData() != "", nil
			case "etcdv2":
				return haveEtcdV2(&v2)
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: withCases(commands()),
	})
}

// lookAtSources makes a cached result of this test depend on what the programs
// are built from: go test remembers the files a test looked at, and knows nothing
// of those its children read.
func lookAtSources(t *testing.T) {
	t.Helper()
	for _, dir := range []string{"cmd", "internal", "pkg", "schema", "test/etcdv2", "go.mod"} {
		err := filepath.WalkDir(filepath.Join("../..", dir), func(path string, _ os.DirEntry, err error) error {
			if err == nil {
				_, err = os.Stat(path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// build builds all programs, with the race detector if this test has it.
func build(t *testing.T) string {
	t.Helper()
	lookAtSources(t)
	bin := t.TempDir()
	args := []string{"build", "-o", bin + "/"}
	if raceEnabled {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "../../cmd/...")...).CombinedOutput()
	if err != nil {
		t.Fatalf("build programs: %v\n%s", err, out)
	}
	return bin
}

// siteData is the directory of a real site's data, "" where there is none.
func siteData() string {
	dir := os.Getenv("SLUICE_SITE_DATA")
	if dir == "" {
		dir = "../../../shared/data"
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	if _, err := os.Stat(filepath.Join(dir, "conftool-data")); err != nil {
		return ""
	}
	return dir
}
