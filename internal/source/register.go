package source

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-lb/sluice/internal/lb"
	"github.com/sluice-lb/sluice/pkg/state"
)

// Register makes the balancer known in every store its services are declared
// in, so that operators' tools find it, until ctx ends. Status are the URLs of
// its status server, the best one first. Trouble is logged and never ends it:
// a balancer nobody can find still balances.
func (s *Sources) Register(ctx context.Context, name string, status []string, services []lb.Service) error {
	places, stores := memberships(services)
	var wg sync.WaitGroup
	for at, pools := range places {
		store, err := s.store(at.endpoint)
		if err != nil {
			s.log.Error("cannot register", "store", at.endpoint, "err", err)
			continue
		}
		log := s.log.With("store", at.endpoint, "name", name)
		who := state.Joining{
			Member:    state.Member{Name: name, Status: status, Pools: pools},
			Namespace: at.namespace, Stores: stores,
		}
		wg.Go(func() {
			_ = store.Join(ctx, who, func(err error) {
				if err != nil {
					log.Warn("registration in trouble", "err", err)
				} else {
					log.Info("registered", "pools", len(pools), "status", strings.Join(status, " "))
				}
			})
		})
	}
	wg.Wait()
	<-ctx.Done()
	return nil
}

// place is where a balancer registers: a store and a namespace in it.
type place struct{ endpoint, namespace string }

// memberships sorts the services by the place their pools are declared in.
// Those declared elsewhere than in a store are left out: nobody's change to a
// store reaches them.
func memberships(services []lb.Service) (places map[place][]state.MemberPool, stores []string) {
	places = map[place][]state.MemberPool{}
	for _, svc := range services {
		endpoint, prefix, err := parseEtcd(svc.Source)
		if err != nil {
			continue
		}
		at := place{endpoint, namespace(prefix)}
		places[at] = append(places[at], state.MemberPool{Pool: svc.Name, Source: prefix, Store: endpoint})
		if !slices.Contains(stores, endpoint) {
			stores = append(stores, endpoint)
		}
	}
	return places, stores
}

// versionDir finds the directory of conftool's API version in a key.
var versionDir = regexp.MustCompile(`^(/.+?)/v\d+/`)

// namespace returns what conftool calls the namespace of a key: all before its
// version directory, or the first part where it has none.
func namespace(prefix string) string {
	if m := versionDir.FindStringSubmatch(prefix); m != nil {
		return m[1]
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(prefix, "/"), "/")
	return "/" + first
}
