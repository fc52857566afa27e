package source

import (
	"context"
	"fmt"
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
		log := s.log.With("store", at.store, "name", name)
		who := state.Joining{
			Member:    state.Member{Name: name, Status: status, Pools: pools},
			Namespace: at.namespace, Stores: stores,
		}
		note := noteOnce(func(err error) {
			if err != nil {
				log.Warn("registration in trouble", "err", err)
			} else {
				log.Info("registered", "pools", len(pools), "status", strings.Join(status, " "))
			}
		})
		wg.Go(func() {
			if store := s.door(strings.Split(at.store, ",")).enter(ctx, note); store != nil {
				_ = store.Join(ctx, who, note)
			}
		})
	}
	wg.Wait()
	<-ctx.Done()
	return nil
}

// noteOnce passes on what differs from the note before.
func noteOnce(note func(error)) func(error) {
	last := "nothing noted yet"
	return func(err error) {
		if text := fmt.Sprint(err); text != last {
			last = text
			note(err)
		}
	}
}

// place is where a balancer registers: a store and a namespace in it.
type place struct{ store, namespace string }

// memberships sorts the services by the place their pools are declared in.
// Those declared elsewhere than in a store are left out: nobody's change to a
// store reaches them.
func memberships(services []lb.Service) (places map[place][]state.MemberPool, stores []string) {
	places = map[place][]state.MemberPool{}
	for _, svc := range services {
		if Local(svc.Source) {
			continue
		}
		endpoints, prefix, err := parseEtcd(svc.Source)
		if err != nil {
			continue
		}
		store := storeName(endpoints)
		at := place{store, namespace(prefix)}
		places[at] = append(places[at], state.MemberPool{Pool: svc.Name, Source: prefix, Store: store})
		if !slices.Contains(stores, store) {
			stores = append(stores, store)
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
