// Package state reads, changes and watches objects in etcd. It is the only
// room of the operator's side that talks to the store: reads return errors and
// never an empty answer in their place; changes patch only the fields named,
// by compare-and-swap, and carry their audit record in the same transaction.
package state

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
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
	// TLS is how to speak to https endpoints; nil means the system's
	// authorities and no certificate of our own.
	TLS *tls.Config
	// Username and Password are what to authenticate with; both or neither.
	// Without them etcd may take the user from our certificate.
	Username, Password string
}

// Store is a connection to etcd. It is safe for concurrent use.
type Store struct {
	cfg    Config
	client *clientv3.Client
	reach  *reach
	pulse  pulse
	end    context.CancelFunc // of all the client does
}

// Open returns a Store. It does not wait for the server: the first request
// tells whether there is one. With a user name it does, since the server has to
// know the user first.
func Open(cfg Config) (*Store, error) {
	if len(cfg.Endpoints) == 0 {
		return nil, errors.New("open etcd: no endpoints given")
	}
	cfg.Namespace = "/" + strings.Trim(cmp.Or(cfg.Namespace, "/conftool"), "/")
	cfg.APIVersion = cmp.Or(cfg.APIVersion, "v1")
	cfg.Timeout = cmp.Or(cfg.Timeout, 5*time.Second)
	reach := newReach(len(cfg.Endpoints))
	dial := []grpc.DialOption{
		grpc.WithContextDialer(reach.dial),
		grpc.WithChainUnaryInterceptor(reach.leaveSilent),
		// The library's own pause grows to two minutes: too long for a
		// balancer whose store has just come back.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: cfg.Timeout,
		}),
	}
	if strings.HasPrefix(cfg.Endpoints[0], "https://") {
		reach.secure = true
		dial = append(dial, grpc.WithTransportCredentials(handshake{credentials.NewTLS(cfg.TLS), reach}))
	}
	// A login, which there is with a user name, waits no longer than other
	// requests for servers that cannot even be dialled.
	base, giveUp := context.WithCancel(context.Background())
	login := time.AfterFunc(patience, func() {
		if cfg.Username != "" && reach.down() != nil {
			giveUp()
		}
	})
	client, err := clientv3.New(clientv3.Config{
		Context:     base,
		Endpoints:   cfg.Endpoints,
		DialTimeout: cfg.Timeout,
		TLS:         cfg.TLS,
		Username:    cfg.Username,
		Password:    cfg.Password,
		// grpc allows no shorter interval; requests have their own timeout
		// and watches their own pulse, this only ends what nobody waits for.
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 3 * time.Second,
		DialOptions:          dial,
		Logger:               zap.NewNop(),
	})
	login.Stop()
	s := &Store{cfg: cfg, client: client, reach: reach, end: giveUp}
	if err == nil && base.Err() != nil {
		err = base.Err() // at the very last moment
	}
	if err != nil {
		giveUp()
		return nil, fmt.Errorf("open %w", s.explain(context.Background(), err))
	}
	return s, nil
}

// Close ends the connection.
func (s *Store) Close() error {
	defer s.end()
	return s.client.Close()
}

// base returns the prefix all keys of a type begin with.
func (s *Store) base(t *objects.Type) string {
	return s.cfg.Namespace + "/" + s.cfg.APIVersion + "/" + t.Path + "/"
}

// Prefix returns what the keys of all objects of a type begin with, for Watch.
func (s *Store) Prefix(t *objects.Type) string { return s.base(t) }

// key returns the full key of an object.
func (s *Store) key(o objects.Object) string { return s.base(o.Type) + o.Key.String() }

// own returns the prefix of the records that are ours alone. They live beside
// conftool's version directory, where conftool never lists.
func (s *Store) own(kind string) string {
	return s.cfg.Namespace + "/sluice/" + kind + "/"
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
