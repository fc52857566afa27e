package state

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-lb/sluice/internal/devetcd"
	"github.com/sluice-lb/sluice/pkg/objects"
)

// told renders a step: "who: object field old => new; …".
func told(s Step) string {
	if s.Err != nil {
		return "trouble"
	}
	var parts []string
	for _, a := range s.Objects {
		text := a.Object.Key.Name
		switch {
		case a.Before == nil:
			text += " created"
		case a.Object.Raw == nil:
			text += " deleted"
		}
		for _, d := range a.Diffs {
			text += fmt.Sprintf(" %s %v=>%v", d.Field, d.Old, d.New)
		}
		parts = append(parts, text)
	}
	who := "?"
	switch {
	case s.Gap != nil:
		who = "gap " + s.Gap.Why
	case s.Record != nil:
		who = s.Record.User
	}
	return who + ": " + strings.Join(parts, "; ")
}

// changes runs Changes for the length of the test.
func changes(t *testing.T, s *Store, selector string, since int64) <-chan Step {
	t.Helper()
	sel, err := objects.Node().ParseSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	steps := make(chan Step, 10000)
	done := make(chan error, 1)
	go func() { done <- s.Changes(ctx, objects.Node(), sel, since, func(s Step) { steps <- s }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("changes ended with %v", err)
		}
	})
	return steps
}

// expect wants these steps next and nothing between them, trouble aside.
func expect(t *testing.T, steps <-chan Step, want ...string) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for i := 0; i < len(want); {
		select {
		case s := <-steps:
			got := told(s)
			if got == "trouble" {
				continue
			}
			if got != want[i] {
				t.Errorf("told %q at %d, want %q", got, s.Revision, want[i])
			}
			i++
		case <-deadline:
			t.Fatalf("waited in vain for %q", want[i])
		}
	}
}

func TestChangesTellsWhoDidWhat(t *testing.T) {
	s := open(t)
	first := putNode(t, s, "a", `{"weight": 1, "pooled": "yes"}`)
	putNode(t, s, "b", `{"weight": 1, "pooled": "yes"}`)
	steps := changes(t, s, "dc=eqiad", first)
	expect(t, steps, "?: a created", "?: b created")
	change := update(t, s, set(get(t, s, "a"), "pooled", "no"), set(get(t, s, "b"), "weight", 5))
	step := <-steps
	if got := told(step); got != "tester: a pooled yes=>no; b weight 1=>5" || step.Revision != change.Revision || step.Record.ID != change.ID {
		t.Errorf("told %q at %d", got, step.Revision)
	}
	put(t, s, "/conftool/v1/pools/codfw/x/y/c", `{}`)
	update(t, s, Mutation{Verb: Delete, Object: get(t, s, "b")})
	putNode(t, s, "a", `{"weight":1,"pooled":"no"}`) // the same in another form
	putNode(t, s, "a", `{"weight`)
	expect(t, steps, "tester: b deleted", "?: a")
}

func TestChangesSelectsByFieldsBeforeAndAfter(t *testing.T) {
	s := open(t)
	putNode(t, s, "a", `{"weight": 1, "pooled": "no"}`)
	putNode(t, s, "b", `{"weight": 1, "pooled": "no"}`)
	steps := changes(t, s, "name=.*,pooled=no", 1)
	expect(t, steps, "?: a created", "?: b created")
	update(t, s, set(get(t, s, "a"), "pooled", "yes"))
	update(t, s, set(get(t, s, "a"), "weight", 7)) // neither before nor after
	update(t, s, set(get(t, s, "b"), "weight", 7))
	expect(t, steps, "tester: a pooled no=>yes", "tester: b weight 1=>7")
}

// Connections are cut and hang, again and again, while changes go on: every one
// is told once and in order.
func TestChangesMissesAndRepeatsNothing(t *testing.T) {
	server, err := devetcd.Start(devetcd.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	direct := connect(t, server.Endpoint())
	link := newLink(t, server.Addr())
	start := putNode(t, direct, "a", `{"weight": 0, "pooled": "yes"}`)
	steps := changes(t, connect(t, "http://"+link.addr()), "name=a", start)
	expect(t, steps, "?: a created")
	n := 0
	for round := range 4 {
		if round == 2 {
			link.hang()
		}
		var want []string
		for range 50 {
			n++
			putNode(t, direct, "a", fmt.Sprintf(`{"weight": %d, "pooled": "yes"}`, n))
			want = append(want, fmt.Sprintf("?: a weight %d=>%d", n-1, n))
			if n%10 == 0 {
				link.cut()
			}
		}
		link.resume()
		expect(t, steps, want...)
	}
}

// What the store has forgotten the history still knows; what was not recorded is
// a gap, and its outcome is told.
func TestChangesAfterCompaction(t *testing.T) {
	server, err := devetcd.Start(devetcd.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	direct := connect(t, server.Endpoint())
	link := newLink(t, server.Addr())
	start := putNode(t, direct, "a", `{"weight": 0, "pooled": "yes"}`)
	putNode(t, direct, "b", `{"weight": 0, "pooled": "yes"}`)
	steps := changes(t, connect(t, "http://"+link.addr()), "dc=eqiad", start)
	expect(t, steps, "?: a created", "?: b created")
	link.hang()
	update(t, direct, set(get(t, direct, "a"), "pooled", "no"))
	update(t, direct, set(get(t, direct, "a"), "pooled", "yes"))
	putNode(t, direct, "b", `{"weight": 4, "pooled": "yes"}`)
	last := putNode(t, direct, "b", `{"weight": 5, "pooled": "yes"}`)
	if _, err := direct.client.Compact(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	link.cut()
	link.resume()
	expect(t, steps, "tester: a pooled yes=>no", "tester: a pooled no=>yes", "gap compacted: b weight 0=>5")
	putNode(t, direct, "b", `{"weight": 6, "pooled": "yes"}`)
	expect(t, steps, "?: b weight 5=>6")

	// Asked for what is forgotten from the start.
	late := changes(t, direct, "dc=eqiad", start)
	expect(t, late, "gap compacted: ")
	putNode(t, direct, "a", `{"weight": 9, "pooled": "yes"}`)
	expect(t, late, "?: a weight 0=>9")
}

func TestChangesFromTheFutureIsRefused(t *testing.T) {
	s := open(t)
	err := s.Changes(t.Context(), objects.Node(), everything(t), 1000, func(Step) {})
	if err == nil || !strings.Contains(err.Error(), "revision 1000 is yet to come") {
		t.Errorf("error %v", err)
	}
}
