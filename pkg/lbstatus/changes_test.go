package lbstatus

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// told is the board's history in lines, the oldest first.
func told(b *Board) []string {
	var lines []string
	for _, c := range b.Changes() {
		who := c.Host
		if c.Others > 0 {
			who += fmt.Sprintf(" +%d", c.Others)
		}
		lines = append(lines, fmt.Sprintf("%s/%s %s: %s → %s (%s)", c.Pool, who, c.What, c.From, c.To, c.Why))
	}
	slices.Reverse(lines)
	return lines
}

func TestChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBoard("web")
		r := Report{Pool: "web", VIP: "tcp 192.0.2.1:80", Seen: 1, Threshold: .5,
			Source: SourceStatus{URL: "etcd://h/k", Heard: time.Now()},
			Members: []Member{
				{Host: "a", Weight: 10, Enabled: true, Up: UpUnknown},
				{Host: "b", Weight: 10, Enabled: true, Up: UpUnknown},
				{Host: "c", Weight: 10, Enabled: true, Up: UpUnknown},
			}}
		var want []string
		step := func(change func(*Report), lines ...string) {
			t.Helper()
			r.Members = slices.Clone(r.Members)
			change(&r)
			b.Publish(r)
			want = append(want, lines...)
			if diff := cmp.Diff(want, told(b)); diff != "" {
				t.Fatalf("-want +got\n%s", diff)
			}
		}
		step(func(*Report) {}, "web/ servers: none heard of → 3 (etcd://h/k)", "web/ source: not heard yet → fresh ()")
		step(func(r *Report) {
			for i := range r.Members {
				r.Members[i].Up, r.Members[i].Pooled, r.Members[i].Reason, r.Members[i].Address = UpYes, true, "up", "192.0.2.9:80"
			}
			r.Announced = true
		}, "web/a +2 address: not resolved → 192.0.2.9:80 ()", "web/a +2 pooled: not pooled → pooled (up)", "web/ announced: not announced → announced ()")
		step(func(r *Report) {
			r.Seen, r.Applied, r.CanDepool, r.Members[0].Connections, r.Members[0].Revision = 9, 9, true, 4, 3
		})
		step(func(r *Report) {
			r.Members[0].Up, r.Members[0].Health, r.Members[0].Pooled, r.Members[0].Reason = UpNo, "refused", false, "down"
			r.Members[1].Up, r.Members[1].Health, r.Members[1].Held, r.Members[1].Reason = UpNo, "timeout", true, "held by threshold"
			r.Members[2].Weight = 20
		}, "web/a up: up → down (refused)", "web/a pooled: pooled → not pooled (down)", "web/b up: up → down (timeout)",
			"web/b held: not held → held (held by threshold)", "web/c weight: 10 → 20 ()")
		step(func(r *Report) { r.Members[0].Host, r.Members[2].Host, r.Members[2].Enabled = "0", "d", false },
			"web/0 +1 server: absent → in the pool ()", "web/a +1 server: in the pool → gone ()")
		step(func(r *Report) { r.Error, r.Threshold, r.Source.Error = "no room", .7, "reset" },
			"web/ threshold: 0.5 → 0.7 ()", "web/ source: fresh → stale (reset)", "web/ table: as decided → in trouble (no room)")
		step(func(r *Report) { r.Error, r.Source.Error = "", "" }, "web/ source: stale → fresh ()", "web/ table: in trouble → as decided ()")
		time.Sleep(StaleAfter + time.Second) // of the bubble's clock: nothing is published
		step(func(r *Report) { r.Source.Heard = time.Now() }, "web/ source: fresh → stale ()", "web/ source: stale → fresh ()")
		if at := b.Changes()[1].At; at.Sub(b.Changes()[0].At) != -time.Second+time.Millisecond {
			t.Errorf("fell silent at %s", at)
		}
		b.SetPools("dns")
		want = append(want, "dns/ pool: absent → present ()", "web/ pool: present → absent ()")
		step(func(*Report) {}) // about a pool that is gone
	})
}

func TestChangesOfSessions(t *testing.T) {
	b := NewBoard()
	peers := func(states ...string) BGP {
		bgp := BGP{Enabled: true}
		for i, s := range states {
			bgp.Peers = append(bgp.Peers, Peer{Address: fmt.Sprintf("192.0.2.%d", i), Session: s, Reason: "hold timer expired"})
		}
		return bgp
	}
	for _, state := range []BGP{{}, peers("idle", "idle"), peers("active", "connect"), peers("established", "opensent"),
		peers("established", "opensent"), peers("idle", "established")} {
		b.PublishBGP(state)
	}
	want := []string{"/192.0.2.0 session: active → established ()", "/192.0.2.0 session: established → idle (hold timer expired)",
		"/192.0.2.1 session: opensent → established ()"}
	if diff := cmp.Diff(want, told(b)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestChangesAreBounded keeps the latest, in order, each time the ring is full.
func TestChangesAreBounded(t *testing.T) {
	b := NewBoard("p")
	for i := range 2*KeptChanges + 7 {
		b.Publish(Report{Pool: "p", Seen: 1, Members: []Member{{Host: "h", Weight: i + 1}}})
	}
	list := b.Changes()
	if len(list) != KeptChanges {
		t.Fatalf("%d are kept", len(list))
	}
	for i, c := range list {
		if want := fmt.Sprint(2*KeptChanges + 7 - i); c.To != want {
			t.Fatalf("entry %d is to %s, want %s", i, c.To, want)
		}
	}
}

// TestChangesOfAWholePool are few entries, however many servers it has.
func TestChangesOfAWholePool(t *testing.T) {
	b := NewBoard("p")
	var r Report
	for i := range 10_000 {
		r.Members = append(r.Members, Member{Host: fmt.Sprintf("h%05d", i), Enabled: true, Up: UpYes, Pooled: true})
	}
	r.Pool = "p"
	b.Publish(r)
	r.Members = slices.Clone(r.Members)
	for i := range r.Members {
		r.Members[i].Up, r.Members[i].Health = UpNo, []string{"refused", "timeout"}[i%2]
	}
	b.Publish(r)
	want := []string{"p/ servers: none heard of → 10000 ()", "p/h00000 +4999 up: up → down (refused)", "p/h00001 +4999 up: up → down (timeout)"}
	if diff := cmp.Diff(want, told(b)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
