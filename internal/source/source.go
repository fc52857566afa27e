// Package source follows the places where pools are declared and tells the
// balancer what it hears, in the balancer's own words. It is the one room that
// knows both vocabularies; what is inactive ends here, as absence.
//
// A source never takes an error for emptiness: while the store is away, hung,
// refusing or suddenly empty, the last good pool stays and the trouble is told.
package source

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/sluice-lb/sluice/internal/lb"
	"github.com/sluice-lb/sluice/pkg/state"
)

// Sources follows any number of services. Services declared at the same server
// share one connection to it.
type Sources struct {
	log    *slog.Logger
	hosts  Hosts
	mu     sync.Mutex
	stores map[string]*state.Store
}

// New returns Sources that resolve server names by hosts first, then by DNS.
func New(log *slog.Logger, hosts Hosts) *Sources {
	return &Sources{log: log, hosts: hosts, stores: map[string]*state.Store{}}
}

// Follow follows one service's source until ctx ends and calls emit, never
// concurrently, with everything it hears.
func (s *Sources) Follow(ctx context.Context, svc lb.Service, emit func(lb.Heard)) error {
	endpoint, prefix, err := parse(svc.Source)
	if err != nil {
		return fmt.Errorf("service %s: %w", svc.Name, err)
	}
	store, err := s.store(endpoint)
	if err != nil {
		return fmt.Errorf("service %s: %w", svc.Name, err)
	}
	f := &follower{svc: svc, log: s.log.With("service", svc.Name), names: newNames(s.hosts, svc.VIP.Addr()), emit: emit}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.resolve(ctx)
	}()
	err = store.Watch(ctx, prefix, f.event)
	<-done
	return err
}

// Close ends all connections; call it when no Follow is under way.
func (s *Sources) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for endpoint, store := range s.stores {
		if err := store.Close(); err != nil {
			return fmt.Errorf("close %s: %w", endpoint, err)
		}
	}
	clear(s.stores)
	return nil
}

func (s *Sources) store(endpoint string) (*state.Store, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if store, ok := s.stores[endpoint]; ok {
		return store, nil
	}
	store, err := state.Open(state.Config{Endpoints: []string{endpoint}})
	if err == nil {
		s.stores[endpoint] = store
	}
	return store, err
}
