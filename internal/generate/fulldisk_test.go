package generate

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-lb/sluice/internal/poolfile"
	"github.com/sluice-lb/sluice/pkg/objects"
)

// smallDisk is where the child of TestFollowOutlivesAFullDisk has its disk.
const smallDisk = "SLUICE_TEST_SMALL_DISK"

// The disk is full: the old file stays whole, nothing is left beside it, the
// error names it; and once there is room the file is written, with nobody's
// help. A small disk takes a mount namespace, so a process of its own.
func TestFollowOutlivesAFullDisk(t *testing.T) {
	if dir := os.Getenv(smallDisk); dir != "" {
		onSmallDisk(t, dir)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), smallDisk+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if uid := os.Getuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	out := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Skipf("SKIPPED: no disk of its own for the test: %v", err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if strings.Contains(out.String(), "SKIPPED") {
		t.Skip(out)
	}
}

func onSmallDisk(t *testing.T, dir string) {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Skipf("SKIPPED: private mounts: %v", err)
	}
	if err := syscall.Mount("small", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("SKIPPED: mount a small disk: %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		f := follow(t, func(e *Engine) { e.Kind = PyBal(dir, objects.Node(), poolfile.Dict, ByService) })
		f.dir = dir
		f.says(nodes("dc1/web/http/be1", up))
		f.after(settleAfter, "dc1/http: 1 hosts")
		ballast := filepath.Join(dir, "ballast")
		if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o644); err == nil {
			t.Fatal("the disk does not fill")
		}
		f.says(nodes("dc1/web/http/be1", down))
		f.after(time.Hour, "dc1/http: replace DIR/dc1/http: write: no space left on device")
		list, err := os.ReadDir(filepath.Join(dir, "dc1"))
		if err != nil || len(list) != 1 {
			t.Errorf("left %v, %v", list, err)
		}
		if data, err := os.ReadFile(filepath.Join(dir, "dc1/http")); err != nil || !strings.Contains(string(data), "'enabled': True") {
			t.Errorf("the old file is %q, %v", data, err)
		}
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		f.after(10*time.Second, "dc1/http: 1 hosts\ndc1/http: <nil>")
		f.end()
	})
}
