package state

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// countingKV counts the reads of a client.
type countingKV struct {
	clientv3.KV
	gets *int
}

func (c countingKV) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	*c.gets++
	return c.KV.Get(ctx, key, opts...)
}
