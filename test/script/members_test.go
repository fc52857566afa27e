package script_test

import (
	"context"
	"slices"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sluice-lb/sluice/pkg/state"
)

// members waits until exactly these balancers are members that live.
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
				alive = append(alive, m.Name)
			}
		}
		if slices.Equal(alive, names) {
			return
		}
	}
}
