package generate

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
	"github.com/sluice-lb/sluice/schema"
)

var update = flag.Bool("update", false, "write the golden files")

// treeStore is a store that holds "KEY JSON" lines.
type treeStore map[string]string

func readTree(t testing.TB, file string) treeStore {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := treeStore{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), " ")
		s[key] = value
	}
	return s
}

func (s treeStore) Root() string { return "/v1/" }

func (s treeStore) Snapshot(_ context.Context, prefix string) (state.Snapshot, error) {
	var snap state.Snapshot
	for key, value := range s {
		if key, ok := strings.CutPrefix("/v1/"+key, prefix); ok {
			snap.Entries = append(snap.Entries, state.Entry{Key: key, Value: []byte(value), Revision: 1})
		}
	}
	slices.SortFunc(snap.Entries, func(a, b state.Entry) int { return strings.Compare(a.Key, b.Key) })
	return snap, nil
}

func (s treeStore) Watch(context.Context, string, func(state.Event)) error {
	return errors.New("not followed")
}

func defaultSchema(t testing.TB) *objects.Schema {
	t.Helper()
	s, err := objects.ParseSchema(schema.Default(), "default.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Every template of docs/examples makes what it says of a small tree.
func TestExamples(t *testing.T) {
	store := readTree(t, "testdata/examples/tree")
	templates, err := filepath.Glob("../../docs/examples/templates/*.tmpl")
	if err != nil || len(templates) < 7 {
		t.Fatalf("%d templates, %v", len(templates), err)
	}
	for _, file := range templates {
		name := strings.TrimSuffix(filepath.Base(file), ".tmpl")
		t.Run(name, func(t *testing.T) {
			dest := filepath.Join(t.TempDir(), name)
			kind, err := Templates([]Template{{file, dest}}, defaultSchema(t), "/")
			if err != nil {
				t.Fatal(err)
			}
			said := &report{}
			e := New(Options{Store: store, Kind: kind, Report: said})
			if ok, err := e.Once(t.Context()); !ok || err != nil {
				t.Fatalf("%t, %v, told %s", ok, err, said.take())
			}
			got, err := os.ReadFile(dest)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(name, ".json") && !json.Valid(got) {
				t.Errorf("no JSON:\n%s", got)
			}
			golden(t, filepath.Join("testdata/examples", name), string(got))
		})
	}
}

// golden compares with a file, or writes it with -update.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}
