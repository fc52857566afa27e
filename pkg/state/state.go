// Package state reads, changes and watches objects in etcd. It is the only
// room of the operator's side that talks to the store: reads return errors and
// never an empty answer in their place; changes patch only the fields named,
// by compare-and-swap, and carry their audit record in the same transaction.
package state

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-lb/sluice/pkg/objects"
)

// Config says where the store is and how long to wait for it.
type Config struct {
	// Endpoints are etcd client URLs; at least one.
	Endpoints []string
	// Namespace is "/conftool" unless set.
	Namespace string
	// APIVersion is "v1" unless set.
	APIVersion string
	// Timeout bounds every single request; 5 s unless set.
	Timeout time.Duration
}

// Store is a connection to etcd. It is safe for concurrent use.
type Store struct {
	cfg    Config
	client *clientv3.Client
	reach  *reach
	pulse  pulse
}

// Open returns a Store. It does not wait for the server: the first request
// tells whether there is one.
func Open(cfg Config) (*Store, error) {
	if len(cfg.Endpoints) == 0 {
		return nil, errors.New("open etcd: no endpoints given")
	}
	cfg.Namespace = "/" + strings.Trim(cmp.Or(cfg.Namespace, "/conftool"), "/")
	cfg.APIVersion = cmp.Or(cfg.APIVersion, "v1")
	cfg.Timeout = cmp.Or(cfg.Timeout, 5*time.Second)
	reach := &reach{endpoints: len(cfg.Endpoints), failed: map[string]error{}}
	client, err := clientv3.New(clientv3.Config{
		Endpoints:   cfg.Endpoints,
		DialTimeout: cfg.Timeout,
		// grpc allows no shorter interval; requests have their own timeout
		// and watches their own pulse, this only moves a connection off a
		// hung member of a cluster.
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 3 * time.Second,
		DialOptions: []grpc.DialOption{
			grpc.WithContextDialer(reach.dial),
			// The library's own pause grows to two minutes: too long for a
			// balancer whose store has just come back.
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
				MinConnectTimeout: cfg.Timeout,
			}),
		},
		Logger: zap.NewNop(),
	})
	if err != nil {
		return nil, fmt.Errorf("open etcd %s: %w", strings.Join(cfg.Endpoints, ","), err)
	}
	return &Store{cfg: cfg, client: client, reach: reach}, nil
}

// Close ends the connection.
func (s *Store) Close() error { return s.client.Close() }

// base returns the prefix all keys of a type begin with.
func (s *Store) base(t *objects.Type) string {
	return s.cfg.Namespace + "/" + s.cfg.APIVersion + "/" + t.Path + "/"
}

// Prefix returns what the keys of all objects of a type begin with, for Watch.
func (s *Store) Prefix(t *objects.Type) string { return s.base(t) }

// own returns the prefix of the records that are ours alone. They live beside
// conftool's version directory, where conftool never lists.
func (s *Store) own(kind string) string {
	return s.cfg.Namespace + "/sluice/" + kind + "/"
}

// patience is how long a request waits while no server can even be dialled.
// It lets a restarted server come back; the client library would go on trying
// for as long as the request may take.
const patience = time.Second

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

// explain turns what the client library says into one readable line. A request
// that ended because the caller's own ctx did stays that error.
func (s *Store) explain(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return cmp.Or(ctx.Err(), err)
	}
	where := "etcd " + strings.Join(s.cfg.Endpoints, ",")
	ended := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		status.Code(err) == codes.DeadlineExceeded || status.Code(err) == codes.Canceled
	switch down := s.reach.down(); {
	case ended && down != nil:
		return fmt.Errorf("%s: %w", where, down)
	case ended:
		return fmt.Errorf("%s: no answer within %s: %w", where, s.cfg.Timeout, context.DeadlineExceeded)
	case status.Code(err) == codes.Unavailable:
		return fmt.Errorf("%s: unavailable: %w", where, plainError{err})
	}
	return fmt.Errorf("%s: %w", where, plainError{err})
}

// plainError shows a gRPC error without its protocol decoration.
type plainError struct{ err error }

func (e plainError) Unwrap() error { return e.err }

func (e plainError) Error() string {
	text := status.Convert(e.err).Message()
	for _, noise := range []string{"connection error: ", "desc = ", "last connection error: ", "error while dialing: "} {
		if i := strings.LastIndex(text, noise); i >= 0 {
			text = text[i+len(noise):]
		}
	}
	return strings.Trim(text, `"`)
}
