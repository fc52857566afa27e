package state

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-lb/sluice/internal/devetcd"
)

const watched = "/conftool/v1/pools/" + httpsPool + "/"

func TestWatchTellsEveryChangeWhole(t *testing.T) {
	s := open(t)
	putNode(t, s, "a", "1")
	events := watch(t, s)
	wait(t, events, has("a=1"))
	rev := putNode(t, s, "b", "2")
	if e := wait(t, events, has("a=1 b=2")); e.Revision != rev || e.Snapshot.Entries[1].Revision != rev {
		t.Errorf("event at revision %d, written at %d", e.Revision, rev)
	}
	putNode(t, s, "a", "3")
	wait(t, events, has("a=3 b=2"))
	if _, err := s.client.Delete(t.Context(), nodeKey("a")); err != nil {
		t.Fatal(err)
	}
	wait(t, events, has("b=2"))
}

// A change elsewhere in the store moves the revision the listing is complete
// at: whoever waits for a revision need not wait for a change to this prefix.
func TestWatchKeepsUpWithRevisionsElsewhere(t *testing.T) {
	s := open(t)
	putNode(t, s, "a", "1")
	events := watch(t, s)
	wait(t, events, has("a=1"))
	rev := put(t, s, "/elsewhere", "x")
	wait(t, events, func(e Event) bool { return e.Snapshot == nil && e.Err == nil && e.Revision >= rev })
}

func TestWatchSurvivesCompaction(t *testing.T) {
	server, err := devetcd.Start(devetcd.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	direct := connect(t, server.Endpoint())
	link := newLink(t, server.Addr())
	putNode(t, direct, "a", "1")
	events := watch(t, connect(t, "http://"+link.addr()))
	wait(t, events, has("a=1"))
	link.hang()
	var last int64
	for i := range 20 {
		last = putNode(t, direct, "a", fmt.Sprint(i))
	}
	if _, err := direct.client.Compact(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	link.cut()
	link.resume()
	wait(t, events, has("a=19"))
}

// A server that hangs (SIGSTOP, a dead switch) keeps the connection open and
// says nothing. That is trouble, told within seconds, and then over.
func TestWatchNoticesAHungServer(t *testing.T) {
	server, err := devetcd.Start(devetcd.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	direct := connect(t, server.Endpoint())
	putNode(t, direct, "a", "1")
	link := newLink(t, server.Addr())
	events := watch(t, connect(t, "http://"+link.addr()))
	wait(t, events, has("a=1"))
	link.hang()
	e := wait(t, events, func(e Event) bool { return e.Err != nil })
	if !strings.Contains(e.Err.Error(), "no sign of life") || strings.Contains(e.Err.Error(), "\n") {
		t.Errorf("error %v", e.Err)
	}
	putNode(t, direct, "a", "2")
	link.resume()
	wait(t, events, has("a=2"))
}

// A store that lost its data and starts again at revision 1 is another store:
// its listing is told, with its own smaller revision.
func TestWatchNoticesAReplacedStore(t *testing.T) {
	old, err := devetcd.Start(devetcd.Options{})
	if err != nil {
		t.Fatal(err)
	}
	addr := old.Addr()
	s := connect(t, old.Endpoint())
	for range 10 {
		putNode(t, s, "a", "1")
	}
	events := watch(t, s)
	wait(t, events, has("a=1"))
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	fresh, err := devetcd.Start(devetcd.Options{Listen: addr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fresh.Close() })
	wait(t, events, has(""))
	rev := putNode(t, connect(t, fresh.Endpoint()), "b", "2")
	if e := wait(t, events, has("b=2")); e.Revision != rev {
		t.Errorf("revision %d, want %d", e.Revision, rev)
	}
}

func TestMergeDoesNotDisturbWhatWasHandedOut(t *testing.T) {
	s := open(t)
	putNode(t, s, "a", "1")
	events := watch(t, s)
	first := wait(t, events, has("a=1"))
	putNode(t, s, "a", "2")
	wait(t, events, has("a=2"))
	if got := text(first.Snapshot); got != "a=1" {
		t.Errorf("the first snapshot now reads %q", got)
	}
}

// watch runs a Watch for the length of the test.
func watch(t *testing.T, s *Store) <-chan Event {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	events := make(chan Event, 1000)
	done := make(chan error, 1)
	go func() { done <- s.Watch(ctx, watched, func(e Event) { events <- e }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("watch ended with %v", err)
		}
	})
	return events
}

// wait returns the first event that satisfies ok.
func wait(t *testing.T, events <-chan Event, ok func(Event) bool) Event {
	t.Helper()
	deadline := time.After(30 * time.Second)
	var seen []string
	for {
		select {
		case e := <-events:
			if ok(e) {
				return e
			}
			seen = append(seen, fmt.Sprintf("%d %q %v", e.Revision, text(e.Snapshot), e.Err))
		case <-deadline:
			t.Fatalf("waited in vain; heard:\n%s", strings.Join(seen, "\n"))
		}
	}
}

func has(want string) func(Event) bool {
	return func(e Event) bool { return e.Snapshot != nil && cmp.Equal(text(e.Snapshot), want) }
}

func text(s *Snapshot) string {
	if s == nil {
		return "-"
	}
	var parts []string
	for _, e := range s.Entries {
		parts = append(parts, e.Key+"="+string(e.Value))
	}
	return strings.Join(parts, " ")
}

// link is a TCP connection to a server that can be made to hang: bytes stop,
// connections stay.
type link struct {
	listener net.Listener
	mu       sync.Mutex
	flows    *sync.Cond
	hung     bool
	conns    []net.Conn
}

func newLink(t *testing.T, target string) *link {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &link{listener: l}
	k.flows = sync.NewCond(&k.mu)
	t.Cleanup(func() {
		_ = l.Close()
		k.resume()
		k.cut()
	})
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				_ = in.Close()
				continue
			}
			k.mu.Lock()
			k.conns = append(k.conns, in, out)
			k.mu.Unlock()
			go k.carry(in, out)
			go k.carry(out, in)
		}
	}()
	return k
}

func (k *link) carry(from, to net.Conn) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		k.mu.Lock()
		for k.hung {
			k.flows.Wait()
		}
		k.mu.Unlock()
		if _, werr := to.Write(buf[:n]); werr != nil || err == io.EOF || err != nil {
			return
		}
	}
}

func (k *link) addr() string { return k.listener.Addr().String() }

func (k *link) hang() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hung = true
}

func (k *link) resume() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hung = false
	k.flows.Broadcast()
}

func (k *link) cut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.conns {
		_ = c.Close()
	}
	k.conns = nil
}

// A store in which nothing happens is not a store that hangs.
func TestWatchHearsAQuietStore(t *testing.T) {
	s := open(t)
	putNode(t, s, "a", "1")
	events := watch(t, s)
	wait(t, events, has("a=1"))
	for range 5 {
		wait(t, events, func(e Event) bool {
			if e.Err != nil || e.Snapshot != nil {
				t.Errorf("heard %+v of a quiet store", e)
			}
			return true
		})
	}
}
