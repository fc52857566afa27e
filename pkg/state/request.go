package state

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// patience is how long a request waits while no server can even be dialled.
// It lets a restarted server come back; the client library would go on trying
// for as long as the request may take.
const patience = time.Second

// retryPause is the time between two attempts at a request.
const retryPause = 50 * time.Millisecond

// errSlow is the cause an attempt ends with when its server took too long
// while others might answer.
var errSlow = errors.New("no answer in this attempt's share of the time")

// request bounds one request by the configured timeout, and by patience.
func (s *Store) request(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	timer := time.AfterFunc(patience, func() {
		if s.reach.down() != nil {
			cancel()
		}
	})
	return ctx, func() {
		timer.Stop()
		cancel()
	}
}

// try carries out a request that may be repeated without harm, until it is
// answered or the time is up. With several servers each attempt gets a share
// of the time: one that hangs is left for another.
func (s *Store) try(ctx context.Context, call func(context.Context) error) error {
	whole, cancel := s.request(ctx)
	defer cancel()
	for {
		one, end := whole, context.CancelFunc(func() {})
		if n := len(s.cfg.Endpoints); n > 1 {
			one, end = context.WithTimeoutCause(whole, s.cfg.Timeout/time.Duration(n), errSlow)
		}
		err := call(one)
		end()
		if err == nil || decided(err) || whole.Err() != nil {
			return err
		}
		select {
		case <-whole.Done():
			return err
		case <-time.After(retryPause):
		}
	}
}

// decided tells whether the server itself refused the request: it has had no
// effect and never will have. After any other error a transaction may have been
// carried out, or be about to be.
func decided(err error) bool {
	code := status.Code(err)
	if known, ok := errors.AsType[rpctypes.EtcdError](err); ok {
		code = known.Code() // which the client library has taken out of its status
	}
	switch code {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied, codes.Unauthenticated,
		codes.FailedPrecondition, codes.OutOfRange, codes.Unimplemented, codes.ResourceExhausted:
		return true
	}
	return false
}

// leaveSilent is told of every request. When an attempt's share of the time
// passes without an answer it closes the connection to that server: whatever
// else waits there goes elsewhere too, and the connection is taken up again
// only when the server talks.
func (r *reach) leaveSilent(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	var server peer.Peer
	err := invoke(ctx, method, req, reply, cc, append(opts, grpc.Peer(&server))...)
	if err != nil && server.Addr != nil && errors.Is(context.Cause(ctx), errSlow) {
		r.drop(server.Addr.String())
	}
	return err
}

// txn carries out a transaction. It must be one that may be sent twice.
func (s *Store) txn(ctx context.Context, compares []clientv3.Cmp, then, otherwise []clientv3.Op) (resp *clientv3.TxnResponse, err error) {
	err = s.try(ctx, func(ctx context.Context) (err error) {
		resp, err = s.client.Txn(ctx).If(compares...).Then(then...).Else(otherwise...).Commit()
		return err
	})
	return resp, err
}

// get reads keys.
func (s *Store) get(ctx context.Context, key string, opts ...clientv3.OpOption) (resp *clientv3.GetResponse, err error) {
	err = s.try(ctx, func(ctx context.Context) (err error) {
		resp, err = s.client.Get(ctx, key, opts...)
		return err
	})
	return resp, err
}

// page is how many keys one request reads at most.
const page = 10_000

// scan calls each with every key below the prefix, sorted, all at one revision,
// which it returns: the one given, or the latest for 0. Its error is the client
// library's.
func (s *Store) scan(ctx context.Context, prefix string, revision int64, each func(Entry), opts ...clientv3.OpOption) (int64, error) {
	return s.scanFrom(ctx, prefix, prefix, revision, each, opts...)
}

// scanFrom is scan for the keys from a certain one on.
func (s *Store) scanFrom(ctx context.Context, from, prefix string, revision int64, each func(Entry), opts ...clientv3.OpOption) (int64, error) {
	for {
		resp, err := s.get(ctx, from, append([]clientv3.OpOption{
			clientv3.WithRange(clientv3.GetPrefixRangeEnd(prefix)), clientv3.WithLimit(page), clientv3.WithRev(revision),
		}, opts...)...)
		if err != nil {
			return revision, err
		}
		revision = cmp.Or(revision, resp.Header.Revision)
		for _, kv := range resp.Kvs {
			each(entry(kv, prefix))
		}
		if !resp.More || len(resp.Kvs) == 0 {
			return revision, nil
		}
		from = after(resp.Kvs)
	}
}

// after returns the first key there can be behind those read.
func after(kvs []*mvccpb.KeyValue) string { return string(kvs[len(kvs)-1].Key) + "\x00" }

func entry(kv *mvccpb.KeyValue, prefix string) Entry {
	return Entry{Key: string(bytes.TrimPrefix(kv.Key, []byte(prefix))), Value: kv.Value, Revision: kv.ModRevision}
}
