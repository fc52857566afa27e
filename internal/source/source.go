// Package source follows the places where pools are declared and tells the
// balancer what it hears, in the balancer's own words. It is the one room that
// knows both vocabularies; what is inactive ends here, as absence.
//
// A source never takes an error for emptiness: while a store, a file or a
// server is away, hung, refusing, unreadable or suddenly empty, the last good
// pool stays and the trouble is told. With a state directory the last good
// pool outlives even the program and the machine.
package source

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"

	"github.com/sluice-lb/sluice/internal/lb"
	"github.com/sluice-lb/sluice/pkg/state"
)

// Sources follows any number of services. Services declared at the same server
// share one connection to it.
type Sources struct {
	log      *slog.Logger
	hosts    Hosts
	stateDir string
	web      *http.Client
	notices  *notices
	access   Access
	mu       sync.Mutex
	doors    map[string]*door // by the store's name
}

// Option is something Sources can be told.
type Option func(*options)

type options struct {
	stateDir string
	roots    *x509.CertPool
	access   Access
}

// WithStateDir keeps the last good pools below a directory, to be used when a
// source cannot be heard at the start. "" keeps none.
func WithStateDir(dir string) Option { return func(o *options) { o.stateDir = dir } }

// WithRoots verifies https sources by these certificates instead of the
// system's; nil means the system's.
func WithRoots(roots *x509.CertPool) Option { return func(o *options) { o.roots = roots } }

// ReadRoots reads a file of PEM certificates; "" is nil.
func ReadRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("read certificates %s: none found", path)
	}
	return pool, nil
}

// New returns Sources that resolve server names by hosts first, then by DNS.
func New(log *slog.Logger, hosts Hosts, with ...Option) *Sources {
	var o options
	for _, option := range with {
		option(&o)
	}
	return &Sources{
		log: log, hosts: hosts, stateDir: o.stateDir, web: newWebClient(o.roots), notices: newNotices(log),
		access: o.access, doors: map[string]*door{},
	}
}

// Follow follows one service's source until ctx ends and calls emit, never
// concurrently, with everything it hears.
func (s *Sources) Follow(ctx context.Context, svc lb.Service, emit func(lb.Heard)) error {
	listen, err := s.listener(svc.Source)
	if err != nil {
		return fmt.Errorf("service %s: %w", svc.Name, err)
	}
	f := newFollower(svc, s.log.With("service", svc.Name), newNames(s.hosts, svc.VIP.Addr()), emit)
	f.remember(s.stateDir)
	var tasks, keeper sync.WaitGroup
	tasks.Go(func() { f.resolve(ctx) })
	tasks.Go(func() { f.recallLate(ctx) })
	// What is heard last is to be kept too: the keeper ends last.
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	keeper.Go(func() { f.keep(keeping, s.stateDir) })
	err = listen(ctx, f)
	tasks.Wait()
	stop()
	keeper.Wait()
	return err
}

// listener returns what follows a source of the URL's kind.
func (s *Sources) listener(source string) (func(context.Context, *follower) error, error) {
	if err := Check(source); err != nil {
		return nil, err
	}
	switch scheme(source) {
	case "file":
		path, err := parseFile(source)
		return func(ctx context.Context, f *follower) error { return s.followFile(ctx, path, f) }, err
	case "http", "https":
		u, err := parseWeb(source)
		return func(ctx context.Context, f *follower) error { return s.followWeb(ctx, u, f) }, err
	}
	endpoints, prefix, err := parseEtcd(source)
	return func(ctx context.Context, f *follower) error {
		store := s.door(endpoints).enter(ctx, func(err error) { f.event(state.Event{Err: err}) })
		if store == nil {
			return nil
		}
		return store.Watch(ctx, prefix, f.event)
	}, err
}

// Close ends all connections; call it when no Follow is under way.
func (s *Sources) Close() error {
	s.web.CloseIdleConnections()
	if err := s.notices.close(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, door := range s.doors {
		if err := door.close(); err != nil {
			return fmt.Errorf("close %s: %w", name, err)
		}
	}
	clear(s.doors)
	return nil
}
