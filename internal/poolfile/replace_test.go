package poolfile

import (
	"errors"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pool")
	step := func(data string, wantChanged bool) os.FileInfo {
		t.Helper()
		changed, err := Replace(path, []byte(data))
		if err != nil || changed != wantChanged {
			t.Fatalf("changed %t, %v", changed, err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != data {
			t.Fatalf("%q, %v", got, err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	if info := step("one", true); info.Mode() != newMode {
		t.Errorf("new file has mode %s", info.Mode())
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	before := step("one", false)
	if after := step("one", false); !os.SameFile(before, after) || after.ModTime() != before.ModTime() {
		t.Error("an unchanged file was touched")
	}
	if after := step("two", true); os.SameFile(before, after) || after.Mode() != 0o640 {
		t.Errorf("written in place, or mode %s", after.Mode())
	}
	alone(t, dir, "pool")
}

// alone wants nothing else in the directory.
func alone(t *testing.T, dir string, names ...string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != len(names) {
		t.Errorf("directory holds %v, %v", list, err)
	}
}

// Whatever stops the new file, the old one stays whole and nothing is left.
func TestOldFileStays(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pool")
	if _, err := Replace(path, []byte("good")); err != nil {
		t.Fatal(err)
	}
	var staged string
	refuse := func(path string) error {
		staged = path
		data, err := os.ReadFile(path)
		if string(data) != "bad" {
			t.Errorf("check saw %q, %v", data, err)
		}
		return errors.New("no good")
	}
	if _, err := Replace(path, []byte("bad"), refuse); err == nil || !strings.Contains(err.Error(), "check: no good") {
		t.Errorf("refused check: %v", err)
	}
	if filepath.Dir(staged) != dir {
		t.Errorf("staged at %s", staged)
	}
	_, err := fill(t, func() (bool, error) { return Replace(path, []byte(strings.Repeat("x", 1<<16))) })
	if !errors.Is(err, syscall.EFBIG) || err.Error() != "replace "+path+": write: file too large" {
		t.Errorf("full disk: %v", err) // the same each time: no staged file's name in it
	}
	if got, err := os.ReadFile(path); string(got) != "good" {
		t.Errorf("old file is %q, %v", got, err)
	}
	alone(t, dir, "pool")
	if _, err := Replace(filepath.Join(dir, "nowhere", "pool"), nil); err == nil {
		t.Error("wrote into a directory that is not there")
	}
}

// fill runs f while no file can grow beyond 4 KiB, which is what a disk that
// fills looks like from here.
func fill(t *testing.T, f func() (bool, error)) (bool, error) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	small := old
	small.Cur = 4096
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
			t.Fatal(err)
		}
	}()
	return f()
}

// No link leads out: neither the file itself nor a directory on the way.
func TestLinksAreNotFollowed(t *testing.T) {
	outside, inside := t.TempDir(), t.TempDir()
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"pool": secret, "dc": outside, "local": "real"} {
		if err := os.Symlink(target, filepath.Join(inside, name)); err != nil {
			t.Fatal(err)
		}
	}
	d, err := OpenDir(inside)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, name := range []string{"pool", "dc/secret", "dc/new", "../" + filepath.Base(outside) + "/new", "local"} {
		if changed, err := d.Replace(name, []byte("stolen")); err == nil || changed {
			t.Errorf("%s: changed %t, %v", name, changed, err)
		}
	}
	if _, err := Replace(filepath.Join(inside, "pool"), []byte("stolen")); err == nil {
		t.Error("followed a link")
	}
	for _, name := range []string{"pool", "dc", "dc/secret", "../" + filepath.Base(outside) + "/secret"} {
		if err := d.Remove(name); err == nil {
			t.Errorf("%s: removed", name)
		}
	}
	if got, _ := os.ReadFile(secret); string(got) != "mine" {
		t.Errorf("secret is %q", got)
	}
	alone(t, outside, "secret")
	if changed, err := d.Replace("eqiad/web", []byte("x")); err != nil || !changed {
		t.Errorf("into a new directory: %t, %v", changed, err)
	}
	if got, err := d.Read("eqiad/web"); err != nil || string(got) != "x" {
		t.Errorf("%q, %v", got, err)
	}
	if err := d.Remove("eqiad/web"); err != nil {
		t.Error(err)
	}
	if err := d.Remove("eqiad/web"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed twice: %v", err)
	}
}
