package generate

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-lb/sluice/internal/poolfile"
	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bigSite is 10,000 nodes in 200 pools of two sites.
func bigSite() []state.Entry {
	var entries []state.Entry
	for pool := range 200 {
		for node := range 50 {
			entries = append(entries, state.Entry{
				Key:      fmt.Sprintf("dc%d/cluster%03d/service%03d/node%04d.example", pool/100, pool, pool, node),
				Value:    []byte(`{"weight": 10, "pooled": "yes"}`),
				Revision: int64(pool*50 + node + 1),
			})
		}
	}
	return entries
}

// newPyBal is an engine that writes PyBal's files into a new directory.
func newPyBal(t testing.TB) (e *Engine, said *report, dir string) {
	t.Helper()
	dir, said = t.TempDir(), &report{}
	return New(Options{Report: said, Kind: PyBal(dir, objects.Node(), poolfile.Dict, ByService)}), said, dir
}

// report notes what it is told.
type report struct {
	mu                    sync.Mutex
	wrote, trouble, stray []string
}

func (r *report) Wrote(file, what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrote = append(r.wrote, file+": "+what)
}

func (r *report) Stray(t *objects.Type, keys []string) {
	r.stray = append(r.stray, fmt.Sprint(t.Name, " ", keys))
}

func (r *report) Trouble(about string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trouble = append(r.trouble, fmt.Sprintf("%s: %v", about, err))
}

// take returns what was told since it was last asked.
func (r *report) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := strings.Join(append(r.wrote, r.trouble...), "\n")
	r.wrote, r.trouble = nil, nil
	return text
}

// pass is a pass over these nodes.
func pass(t testing.TB, e *Engine, entries []state.Entry) {
	e.pass(t.Context(), []state.Snapshot{{Entries: entries}}, false)
}

// One change is one file: the others are neither read nor written.
func TestOneChangeIsOneFile(t *testing.T) {
	e, said, dir := newPyBal(t)
	entries := bigSite()
	pass(t, e, entries)
	before := identities(t, dir)
	if len(before) != 200 || len(said.wrote) != 200 || len(said.trouble) > 0 {
		t.Fatalf("%d files, told %q", len(before), said.take())
	}
	said.take()
	entries[77].Value = []byte(`{"weight": 3, "pooled": "no"}`) // at the revision it had: a store may be set back
	pass(t, e, entries)
	if got := said.take(); got != "dc0/service001: 50 hosts" {
		t.Errorf("told %q", got)
	}
	for name, after := range identities(t, dir) {
		if os.SameFile(before[name], after) == (name == "dc0/service001") {
			t.Errorf("%s: written %t", name, !os.SameFile(before[name], after))
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "dc0/service001"))
	if want := "{ 'host': 'node0027.example', 'weight':3, 'enabled': False }\n"; err != nil || !strings.Contains(string(data), want) {
		t.Errorf("%v: %s", err, data)
	}
	// A pool that is no more leaves its file.
	pass(t, e, entries[50:])
	if got := said.take(); got != "dc0/service000: its pool is no more: kept as it is" {
		t.Errorf("told %q", got)
	}
	// A store that suddenly is empty changes nothing.
	pass(t, e, nil)
	if got := said.take(); got != "store: holds no nodes: nothing written" {
		t.Errorf("told %q", got)
	}
	pass(t, e, entries)
	if got := said.take(); got != "store: <nil>\ndc0/service000: <nil>" {
		t.Errorf("told %q", got)
	}
	if n := len(identities(t, dir)); n != 200 {
		t.Errorf("%d files left", n)
	}
	// One that somebody removes with its pool is no more either.
	pass(t, e, entries[50:])
	said.take()
	if s := e.publish(); s.Healthy || len(s.Files) != 200 {
		t.Errorf("healthy %t, %d files", s.Healthy, len(s.Files))
	}
	if err := os.Remove(filepath.Join(dir, "dc0/service000")); err != nil {
		t.Fatal(err)
	}
	pass(t, e, entries[50:])
	if got := said.take(); got != "dc0/service000: <nil>" || len(e.publish().Files) != 199 {
		t.Errorf("told %q", got)
	}
}

func identities(t testing.TB, dir string) map[string]os.FileInfo {
	t.Helper()
	files := map[string]os.FileInfo{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files[path], err = d.Info()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// Keys can be anything; files stay where they belong.
func TestFileNamesStayInside(t *testing.T) {
	e, said, dir := newPyBal(t)
	refused := 0
	for _, key := range []string{"dc1/web/../be1", "../web/http/be1", "dc1/web/.hidden/be1", "dc1/web/a\nb/be1", "dc1/web/http", "dc1/web//be1"} {
		pass(t, e, []state.Entry{{Key: key, Value: []byte(`{"pooled": "yes"}`), Revision: 1}})
		refused += strings.Count(said.take(), "is no name for a file")
	}
	if n := len(identities(t, dir)); n != 0 || refused != 4 {
		t.Errorf("%d files, %d names refused", n, refused)
	}
	// A host no file can hold is left out and named.
	pass(t, e, []state.Entry{
		{Key: "dc1/web/ok/a b", Value: []byte(`{"pooled": "yes"}`), Revision: 1},
		{Key: "dc1/web/ok/be1", Value: []byte(`{"pooled": "yes"}`), Revision: 1},
		{Key: "dc1/web/ok/be2", Value: []byte(`{"pooled": "yes", "weight": 70000}`), Revision: 1},
	})
	if got := said.take(); !strings.Contains(got, "node a b: ") || !strings.Contains(got, "node be2: weight 70000") {
		t.Errorf("told %q", got)
	}
	data, err := os.ReadFile(filepath.Join(dir, "dc1/ok"))
	if err != nil || !strings.HasSuffix(string(data), "lost.\n{ 'host': 'be1', 'weight':0, 'enabled': True }\n") {
		t.Errorf("%v: %s", err, data)
	}
}

// Two clusters whose names run together are no common group.
func TestGroupsOfClustersDoNotMix(t *testing.T) {
	pools := []Pool{{"dc1", "a-b", "c", nil}, {"dc1", "a", "b-c", nil}, {"dc2", "a-b", "c", nil}}
	files := arrange(dshLayout{}, pools)
	if len(files) != 1 || files[0].err == nil || len(arrange(dshLayout{}, []Pool{pools[0], pools[2]})[0].pools) != 2 {
		t.Errorf("%+v", files)
	}
}
