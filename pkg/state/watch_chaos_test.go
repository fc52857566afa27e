package state

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sluice-lb/sluice/internal/devetcd"
)

// Whatever happens between a watch and its store, everything the watch says is
// true of the store at the revision it says it of: a snapshot holds what the
// store held then, and quiet means that nothing had changed until then.
func TestWatchSaysNothingButTheTruth(t *testing.T) {
	server, err := devetcd.Start(devetcd.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	direct := connect(t, server.Endpoint())
	link := newLink(t, server.Addr())
	putNode(t, direct, "h0", "start")
	events := watch(t, connect(t, "http://"+link.addr()))
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))

	compacted := int64(0)
	for range 12 {
		trouble(link, rng.IntN(4))
		for range rng.IntN(60) {
			edit(t, direct, rng)
		}
		if rng.IntN(3) == 0 {
			compacted = compact(t, direct)
		}
		link.resume()
		last := putNode(t, direct, "h0", fmt.Sprint(rng.Int()))
		verifyUntil(t, direct, events, last, &compacted)
	}
}

// trouble does one of several things to the connection.
func trouble(k *link, kind int) {
	switch kind {
	case 1:
		k.cut()
	case 2:
		k.hang()
	case 3:
		k.hang()
		k.cut()
	}
}

// edit changes a few random keys in one transaction.
func edit(t *testing.T, s *Store, rng *rand.Rand) {
	t.Helper()
	var ops []clientv3.Op
	for _, host := range rng.Perm(6)[:1+rng.IntN(3)] {
		key := nodeKey(fmt.Sprintf("h%d", host))
		if rng.IntN(4) == 0 {
			ops = append(ops, clientv3.OpDelete(key))
		} else {
			ops = append(ops, clientv3.OpPut(key, fmt.Sprint(rng.Int())))
		}
	}
	if rng.IntN(5) == 0 {
		ops = []clientv3.Op{clientv3.OpPut("/elsewhere", fmt.Sprint(rng.Int()))}
	}
	if _, err := s.client.Txn(t.Context()).Then(ops...).Commit(); err != nil {
		t.Fatal(err)
	}
}

func compact(t *testing.T, s *Store) int64 {
	t.Helper()
	resp, err := s.client.Get(t.Context(), "/elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.Compact(t.Context(), resp.Header.Revision); err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
		t.Fatal(err)
	}
	return resp.Header.Revision
}

// verifyUntil checks every event against the store's own history until the
// watch has reached the revision.
func verifyUntil(t *testing.T, s *Store, events <-chan Event, revision int64, compacted *int64) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for said := "?"; ; {
		select {
		case e := <-events:
			if e.Err != nil {
				continue
			}
			if e.Snapshot != nil {
				said = text(e.Snapshot)
			}
			if said != "?" && e.Revision >= *compacted {
				if truth := at(t, s, e.Revision); said != truth {
					t.Fatalf("at revision %d the watch says %q, the store held %q", e.Revision, said, truth)
				}
			}
			if e.Revision >= revision {
				return
			}
		case <-deadline:
			t.Fatalf("revision %d never arrived", revision)
		}
	}
}

// at reads what the store held at a revision.
func at(t *testing.T, s *Store, revision int64) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	resp, err := s.client.Get(ctx, watched, clientv3.WithPrefix(), clientv3.WithRev(revision))
	if err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, kv := range resp.Kvs {
		parts = append(parts, strings.TrimPrefix(string(kv.Key), watched)+"="+string(kv.Value))
	}
	return strings.Join(parts, " ")
}
