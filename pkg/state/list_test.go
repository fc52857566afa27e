package state

import (
	"fmt"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sluice-lb/sluice/pkg/objects"
)

func twoTypes(t *testing.T) []*objects.Type {
	t.Helper()
	schema, err := objects.ParseSchema([]byte("rec: {path: recs, tags: [r], schema: {ttl: {type: int, default: 1}}}\n"), "schema.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return schema.Types()
}

func TestListTypes(t *testing.T) {
	s := open(t)
	putNode(t, s, "cp1001", `{"weight": 1, "pooled": "yes"}`)
	put(t, s, "/conftool/v1/recs/a/b", `{"ttl": 2}`)
	put(t, s, "/conftool/v1/recs/a/b/c", `{}`)
	last := put(t, s, "/conftool/v1/other/x", `{}`)
	found, err := s.ListTypes(t.Context(), twoTypes(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 2 || len(found[0].Objects) != 1 || len(found[1].Objects) != 1 || len(found[1].Stray) != 1 {
		t.Fatalf("found %+v", found)
	}
	if o := found[1].Objects[0]; o.Key.String() != "a/b" || o.Type.Name != "rec" || string(o.Raw) != `{"ttl": 2}` {
		t.Errorf("object %+v", o)
	}
	if found[0].Revision != last || found[1].Revision != last {
		t.Errorf("at revisions %d and %d, want %d", found[0].Revision, found[1].Revision, last)
	}
}

// A type with more objects than one answer holds is read on, at the revision
// the others were read at.
func TestListTypesInPages(t *testing.T) {
	s := open(t)
	const many = page + 2
	for i := 0; i < many; i += 100 {
		var puts []clientv3.Op
		for j := i; j < min(i+100, many); j++ {
			puts = append(puts, clientv3.OpPut(nodeKey(fmt.Sprintf("cp%06d", j)), `{}`))
		}
		if _, err := s.client.Txn(t.Context()).Then(puts...).Commit(); err != nil {
			t.Fatal(err)
		}
	}
	gets := 0
	s.client.KV = countingKV{s.client.KV, &gets}
	found, err := s.ListTypes(t.Context(), twoTypes(t))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(found[0].Objects); n != many {
		t.Errorf("%d objects, want %d", n, many)
	}
	if gets != 1 {
		t.Errorf("%d further requests, want 1", gets)
	}
}
