package state

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sluice-lb/sluice/pkg/objects"
)

const webSource = "/conftool/v1/pools/eqiad/web/https/"

func lb1() Member {
	return Member{
		Name: "lb1", Status: []string{"http://127.0.0.9:9090"},
		Pools: []MemberPool{{Pool: "web_443", Source: webSource, Store: "http://a:2379"}},
	}
}

// join registers until the returned function is called; it waits for the first
// note and returns the notes that follow.
func join(t *testing.T, s *Store, who Joining) (notes <-chan error, stop func()) {
	t.Helper()
	told := make(chan error, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Join(ctx, who, func(err error) { told <- err })
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return told, stop
}

func next(t *testing.T, notes <-chan error) error {
	t.Helper()
	select {
	case err := <-notes:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("nothing noted for 20s")
		return nil
	}
}

func members(t *testing.T, s *Store) []Member {
	t.Helper()
	list, err := s.Members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// until asks for the members until they are as wanted.
func until(t *testing.T, s *Store, what string, ok func([]Member) bool) []Member {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		list := members(t, s)
		if ok(list) {
			return list
		}
		if time.Now().After(deadline) {
			t.Fatalf("never %s: %+v", what, list)
		}
	}
}

func alive(list []Member) bool { return len(list) == 1 && list[0].Alive }

func TestMemberLivesAndItsRecordLasts(t *testing.T) {
	s := open(t)
	if got := members(t, s); got != nil {
		t.Errorf("before anybody joined: %v", got)
	}
	notes, stop := join(t, s, Joining{Member: lb1()})
	if err := next(t, notes); err != nil {
		t.Fatal(err)
	}
	got := members(t, s)
	want := lb1()
	want.Alive = true
	if diff := cmp.Diff([]Member{want}, got, cmpopts.IgnoreFields(Member{}, "Since", "AliveSince")); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	if got[0].Since.IsZero() || got[0].AliveSince.IsZero() {
		t.Errorf("since %v, alive since %v", got[0].Since, got[0].AliveSince)
	}
	stop()
	left := members(t, s)
	want = got[0]
	want.Alive, want.AliveSince = false, time.Time{}
	if diff := cmp.Diff([]Member{want}, left); diff != "" {
		t.Errorf("after a stop (-want +got):\n%s", diff)
	}

	// The same again writes no new record; another configuration does, and
	// keeps Since.
	before, _ := s.client.Get(t.Context(), s.own("balancers")+"lb1")
	notes, stop = join(t, s, Joining{Member: lb1()})
	if err := next(t, notes); err != nil {
		t.Fatal(err)
	}
	stop()
	after, _ := s.client.Get(t.Context(), s.own("balancers")+"lb1")
	if before.Kvs[0].ModRevision != after.Kvs[0].ModRevision {
		t.Error("the record was written again although nothing had changed")
	}
	other := lb1()
	other.Pools[0].Pool = "web2_443"
	notes, _ = join(t, s, Joining{Member: other})
	if err := next(t, notes); err != nil {
		t.Fatal(err)
	}
	now := members(t, s)[0]
	if now.Pools[0].Pool != "web2_443" || !now.Since.Equal(want.Since) {
		t.Errorf("with another configuration: %+v", now)
	}
}

func TestMemberComesBackWhenItsLeaseIsLost(t *testing.T) {
	s := open(t)
	notes, _ := join(t, s, Joining{Member: lb1()})
	if err := next(t, notes); err != nil {
		t.Fatal(err)
	}
	leases, err := s.client.Leases(t.Context())
	if err != nil || len(leases.Leases) != 1 {
		t.Fatalf("leases %v, %v", leases, err)
	}
	if _, err := s.client.Revoke(t.Context(), leases.Leases[0].ID); err != nil {
		t.Fatal(err)
	}
	if members(t, s)[0].Alive {
		t.Fatal("alive without a lease")
	}
	until(t, s, "alive again", alive)

	// The store was emptied: record and sign come back.
	if _, err := s.client.Delete(t.Context(), "/", clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	until(t, s, "registered again", alive)
}

// A second balancer of the same name must not take the first one's place: then
// nobody would ask the first.
func TestNameIsTakenWhileItsBearerLives(t *testing.T) {
	s := open(t)
	notes, stop := join(t, s, Joining{Member: lb1()})
	if err := next(t, notes); err != nil {
		t.Fatal(err)
	}
	double := lb1()
	double.Status = []string{"http://127.0.0.10:9090"}
	others, _ := join(t, s, Joining{Member: double})
	if err := next(t, others); !errors.Is(err, ErrNameTaken) {
		t.Fatalf("the double was told %v", err)
	}
	if got := members(t, s)[0]; got.Status[0] != "http://127.0.0.9:9090" {
		t.Errorf("record now leads to %v", got.Status)
	}
	stop()
	if err := next(t, others); err != nil {
		t.Fatal(err)
	}
	if got := members(t, s)[0]; got.Status[0] != double.Status[0] || !got.Alive {
		t.Errorf("after the first has gone: %+v", got)
	}
}

// Two servers of one store are two registrations there; the record holds what
// both say, and a pool that is no longer configured disappears.
func TestServersOfOneStoreShareARecord(t *testing.T) {
	s := open(t)
	stores := []string{"http://a:2379", "http://b:2379"}
	a, b := lb1(), lb1()
	b.Pools = []MemberPool{{Pool: "api_80", Source: "/conftool/v1/pools/eqiad/api/http/", Store: "http://b:2379"}}
	for _, m := range []Member{a, b} {
		notes, _ := join(t, s, Joining{Member: m, Stores: stores})
		if err := next(t, notes); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]MemberPool{b.Pools[0], a.Pools[0]}, members(t, s)[0].Pools); diff != "" {
		t.Errorf("pools (-want +got):\n%s", diff)
	}
	notes, _ := join(t, s, Joining{Member: a, Stores: stores[:1]})
	if err := next(t, notes); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a.Pools, members(t, s)[0].Pools); diff != "" {
		t.Errorf("pools once b is configured no more (-want +got):\n%s", diff)
	}
}

func TestForget(t *testing.T) {
	s := open(t)
	notes, stop := join(t, s, Joining{Member: lb1()})
	if err := next(t, notes); err != nil {
		t.Fatal(err)
	}
	if err := s.Forget(t.Context(), audit(), "lb1"); !errors.Is(err, ErrAlive) {
		t.Errorf("forget of a living balancer: %v", err)
	}
	stop()
	if err := s.Forget(t.Context(), audit(), "lb2"); !errors.Is(err, ErrNotFound) {
		t.Errorf("forget of nobody: %v", err)
	}
	if err := s.Forget(t.Context(), audit(), "lb1"); err != nil {
		t.Error(err)
	}
	if got := members(t, s); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
	changes, err := s.client.Get(t.Context(), s.own("changes"), clientv3.WithPrefix())
	if err != nil || len(changes.Kvs) != 1 || !strings.Contains(string(changes.Kvs[0].Value), `"before":{"name":"lb1"`) {
		t.Errorf("audit record: %v, %v", changes, err)
	}
}

func TestMalformedMemberIsAnErrorThatNamesIt(t *testing.T) {
	s := open(t)
	for name, value := range map[string]string{"lb3": `{"name": `, "lb4": `{"name":"lb5"}`} {
		put(t, s, s.own("balancers")+name, value)
		if _, err := s.Members(t.Context()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Forget(t.Context(), audit(), name); err != nil {
			t.Error(err)
		}
	}
}

func TestUnreachableStoreIsNotedAndRetried(t *testing.T) {
	s := connect(t, "http://127.0.0.1:1")
	notes, _ := join(t, s, Joining{Member: lb1()})
	if err := next(t, notes); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("noted %v", err)
	}
	if _, err := s.Members(t.Context()); err == nil {
		t.Error("no store, and yet a list of members")
	}
}

func TestSourceOf(t *testing.T) {
	s := open(t)
	key, err := objects.Node().ParseKey("eqiad/web/https/cp1001")
	if err != nil {
		t.Fatal(err)
	}
	if got := s.SourceOf(objects.Node(), key); got != webSource {
		t.Errorf("got %s, want %s", got, webSource)
	}
}
