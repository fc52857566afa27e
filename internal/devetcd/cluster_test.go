package devetcd

import (
	"context"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

func TestClusterOutlivesItsLeader(t *testing.T) {
	c, err := StartCluster(3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	all, err := clientv3.New(clientv3.Config{Endpoints: c.Endpoints(), Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = all.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := all.Put(ctx, "k", "v"); err != nil {
		t.Fatal(err)
	}
	first := c.Leader()
	if first < 0 {
		t.Fatal("no leader after a write")
	}
	c.Stop(first)
	if resp, err := all.Get(ctx, "k"); err != nil || len(resp.Kvs) != 1 {
		t.Fatalf("without the old leader: %v, %v", resp, err)
	}
	if now := c.Leader(); now == first {
		t.Errorf("member %d leads and is stopped", now)
	}
	if err := c.Restart(first); err != nil {
		t.Fatal(err)
	}
}
