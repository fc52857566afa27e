package generate

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-lb/sluice/pkg/state"
)

// ls finds what looking through all keys finds, whatever the keys.
func TestLsIsExact(t *testing.T) {
	part := rapid.StringMatching(`[a-b!.0~-]{1,2}`).Filter(func(s string) bool { return s != "." && s != ".." })
	path := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(part, 1, 4).Draw(t, "parts"), "/")
	})
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOf(path).Draw(t, "keys")
		dir := "/" + rapid.OneOf(path, rapid.Just("")).Draw(t, "dir")
		var snap state.Snapshot
		want, wantDirs := []string{}, []string{}
		for _, key := range keys {
			snap.Entries = append(snap.Entries, state.Entry{Key: key})
			if "/"+key == dir {
				want = append(want, key[strings.LastIndex(key, "/")+1:])
			}
			if rest, ok := strings.CutPrefix("/"+key, strings.TrimSuffix(dir, "/")+"/"); ok {
				name, _, deeper := strings.Cut(rest, "/")
				want = append(want, name)
				if deeper {
					wantDirs = append(wantDirs, name)
				}
			}
		}
		for _, list := range []*[]string{&want, &wantDirs} {
			slices.Sort(*list)
			*list = slices.Compact(*list)
		}
		tree := newTree(snap)
		if got := tree.ls(dir); !slices.Equal(got, want) {
			t.Fatalf("ls %s of %q: %q, want %q", dir, keys, got, want)
		}
		if got := tree.lsdir(dir + "/"); !slices.Equal(got, wantDirs) {
			t.Fatalf("lsdir %s of %q: %q, want %q", dir, keys, got, wantDirs)
		}
	})
}
