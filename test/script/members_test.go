package script_test

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sluice-lb/sluice/pkg/state"
)

// members waits until exactly these balancers are members that live. NAME=POOL,…
// wants the member to serve exactly those pools as well.
func (w *world) members(ts *testscript.TestScript, names []string) {
	store, err := state.Open(state.Config{Endpoints: []string{"http://" + w.etcdAddr()}})
	ts.Check(err)
	defer store.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		list, err := store.Members(ctx)
		ts.Check(err)
		var alive []string
		for _, m := range list {
			if m.Alive {
				alive = append(alive, described(m, names))
			}
		}
		if slices.Equal(alive, names) {
			return
		}
	}
}

// described is the member as the names do: with its pools where they have them.
func described(m state.Member, names []string) string {
	if !slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, m.Name+"=") }) {
		return m.Name
	}
	var pools []string
	for _, p := range m.Pools {
		pools = append(pools, p.Pool)
	}
	slices.Sort(pools)
	return m.Name + "=" + strings.Join(pools, ",")
}
