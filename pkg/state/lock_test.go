package state

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// hold locks and gives the lock back when the test ends, if not before.
func hold(t *testing.T, s *Store, claim Claim) (held context.Context, release func()) {
	t.Helper()
	held, release, err := s.Lock(t.Context(), claim, nil)
	if err != nil {
		t.Fatal(err)
	}
	return held, release
}

func by(user string) Audit { return Audit{User: user, Host: "h", Command: []string{"confctl", "sync"}} }

func TestLockIsHeldByOne(t *testing.T) {
	s := open(t)
	_, release := hold(t, s, Claim{Name: "sync", Audit: by("ada")})
	_, _, err := s.Lock(t.Context(), Claim{Name: "sync", Audit: by("bob")}, nil)
	locked, ok := errors.AsType[*LockedError](err)
	if !ok || len(locked.Ahead) != 1 || locked.Ahead[0].User != "ada" || locked.Ahead[0].Name != "sync" {
		t.Fatalf("the second got %v", err)
	}
	_, other := hold(t, s, Claim{Name: "sync/it", Audit: by("bob")}) // another lock
	other()
	release()
	_, release = hold(t, s, Claim{Name: "sync", Audit: by("bob")})
	release()
	if n := len(claims(t, s)); n != 0 {
		t.Errorf("%d claims are left", n)
	}
}

// claims returns the keys of all claims in the store.
func claims(t *testing.T, s *Store) (keys []string) {
	t.Helper()
	resp, err := s.client.Get(t.Context(), s.own("locks"), clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range resp.Kvs {
		keys = append(keys, string(kv.Key))
	}
	return keys
}

// Those that wait are served in the order they came, whoever is quickest.
func TestLockIsFair(t *testing.T) {
	s := open(t)
	_, release := hold(t, s, Claim{Name: "restart", Audit: by("first")})
	const waiting = 5
	order := make(chan string, waiting)
	for i := range waiting {
		queued := make(chan struct{}, waiting+1)
		go func() {
			user := string(rune('a' + i))
			_, release, err := s.Lock(t.Context(), Claim{Name: "restart", Wait: time.Minute, Audit: by(user)}, func([]Claimant) { queued <- struct{}{} })
			if err != nil {
				order <- err.Error()
				return
			}
			order <- user
			release()
		}()
		<-queued
	}
	release()
	for i := range waiting {
		if got, want := <-order, string(rune('a'+i)); got != want {
			t.Errorf("turn %d was %s's, want %s", i, got, want)
		}
	}
}

func TestLockSlots(t *testing.T) {
	s := open(t)
	_, one := hold(t, s, Claim{Name: "r", Slots: 2, Audit: by("one")})
	_, two := hold(t, s, Claim{Name: "r", Slots: 2, Audit: by("two")})
	all, err := s.Locks(t.Context())
	if err != nil || len(all) != 2 || !all[0].Holds || !all[1].Holds {
		t.Fatalf("locks %+v, %v", all, err)
	}
	if _, _, err := s.Lock(t.Context(), Claim{Name: "r", Slots: 2}, nil); err == nil {
		t.Error("a third got one of two slots")
	}
	one()
	// The smallest claim counts: while one holds, who wants to be alone waits.
	if _, _, err := s.Lock(t.Context(), Claim{Name: "r", Slots: 1}, nil); err == nil {
		t.Error("somebody who wants to be alone is not")
	}
	_, three := hold(t, s, Claim{Name: "r", Slots: 2, Audit: by("three")})
	two()
	three()
}

func TestLockWaitsOnlySoLong(t *testing.T) {
	s := open(t)
	_, release := hold(t, s, Claim{Name: "sync", Audit: by("ada")})
	defer release()
	told := 0
	_, _, err := s.Lock(t.Context(), Claim{Name: "sync", Wait: 50 * time.Millisecond}, func([]Claimant) { told++ })
	if _, ok := errors.AsType[*LockedError](err); !ok || told != 1 {
		t.Errorf("got %v after being told %d times", err, told)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, _, err = s.Lock(ctx, Claim{Name: "sync", Wait: time.Hour}, func([]Claimant) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted, it got %v", err)
	}
	if n := len(claims(t, s)); n != 1 {
		t.Errorf("%d claims are left, want the holder's alone", n)
	}
}

// A lock whose lease is gone, as after a long pause of the process, must not be
// thought held.
func TestLockIsLostWithItsLease(t *testing.T) {
	s := open(t)
	held, release := hold(t, s, Claim{Name: "sync"})
	defer release()
	leases, err := s.client.Leases(t.Context())
	if err != nil || len(leases.Leases) != 1 {
		t.Fatalf("leases %v, %v", leases, err)
	}
	if _, err := s.client.Revoke(t.Context(), leases.Leases[0].ID); err != nil {
		t.Fatal(err)
	}
	select {
	case <-held.Done():
	case <-time.After(lifetime):
		t.Fatal("not noticed")
	}
	if err := context.Cause(held); !errors.Is(err, ErrLockLost) {
		t.Errorf("ended with %v", err)
	}
	if _, _, err := s.Lock(t.Context(), Claim{Name: "sync"}, nil); err != nil {
		t.Errorf("nobody else gets it: %v", err)
	}
}

// Whatever stands among the claims is in the way, never passed over.
func TestUnreadableClaimHolds(t *testing.T) {
	s := open(t)
	put(t, s, s.lockPrefix("sync")+"0", "garbage")
	_, _, err := s.Lock(t.Context(), Claim{Name: "sync"}, nil)
	if _, ok := errors.AsType[*LockedError](err); !ok {
		t.Errorf("got %v", err)
	}
}

func TestClaimantIsKeptAsJSON(t *testing.T) {
	s := open(t)
	_, release := hold(t, s, Claim{Name: "a/b%", Slots: 3, Audit: by("ada")})
	defer release()
	all, err := s.Locks(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("locks %v, %v", all, err)
	}
	var got struct {
		Name, User, Host string
		Slots            int
		Holds            bool
	}
	if err := json.Unmarshal([]byte(encode(all[0])), &got); err != nil {
		t.Fatal(err)
	}
	if got.Name != "a/b%" || got.User != "ada" || got.Slots != 3 || !got.Holds {
		t.Errorf("got %+v", got)
	}
	if text := all[0].String(); text != "ada@h (confctl sync)" {
		t.Errorf("called %q", text)
	}
}
