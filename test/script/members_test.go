package script_test

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"strconv"
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

// exits runs a program that must end with this code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	if e := (*exec.ExitError)(nil); errors.As(err, &e) {
		got = e.ExitCode()
	} else {
		ts.Check(err)
	}
	ts.Logf("[exit %d]", got)
	if got != want {
		ts.Fatalf("%v: exit %d, want %d", args[1:], got, want)
	}
}
