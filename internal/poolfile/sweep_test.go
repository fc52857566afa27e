package poolfile

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// What a killed writer left goes; what only looks like it, what belongs to
// another file and what somebody is writing stays.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "dc1", ".web.DDDDDDDD"), 0o755); err != nil {
		t.Fatal(err)
	}
	stay := []string{".web", ".web.AAAAAAA", ".web.AAAAAAA1", ".web.aaaaaaaa", ".webAAAAAAAAA", "web.AAAAAAAA", ".other.AAAAAAAA", "web", "..AAAAAAAA"}
	for _, name := range append([]string{".web.ABCDE234", ".a.b.AAAAAAAA"}, stay...) {
		if err := os.WriteFile(filepath.Join(dir, "dc1", name), nil, 0o444); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("web", filepath.Join(dir, "dc1", ".web.LLLLLLLL")); err != nil {
		t.Fatal(err)
	}
	d, err := OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	sweep := func(path string) error { return d.Sweep("dc1/web", "dc1/a.b", "dc2/none") }
	// In the middle of a replacement its own file stays.
	if _, err := d.Replace("dc1/web", []byte("new"), sweep); err != nil {
		t.Fatal(err)
	}
	want := append([]string{".web.DDDDDDDD", ".web.LLLLLLLL"}, stay...)
	slices.Sort(want)
	var got []string
	list, err := os.ReadDir(filepath.Join(dir, "dc1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		got = append(got, e.Name())
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("left\n%q, want\n%q", got, want)
	}
}

// By root the owner is kept as the mode is.
func TestOwnerIsKept(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root can give files to others")
	}
	path := filepath.Join(t.TempDir(), "pool")
	if err := os.WriteFile(path, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 65534, 65533); err != nil {
		t.Fatal(err)
	}
	if _, err := Replace(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if stat := info.Sys().(*syscall.Stat_t); stat.Uid != 65534 || stat.Gid != 65533 || info.Mode() != 0o640 {
		t.Errorf("owner %d:%d, mode %s", stat.Uid, stat.Gid, info.Mode())
	}
}
