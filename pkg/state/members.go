package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sluice-lb/sluice/pkg/objects"
)

// Member is a balancer that has made itself known in the store. The record
// lasts: only Forget removes it. Whether the balancer lives is another matter.
type Member struct {
	// Name is what the balancer calls itself; it has no slash.
	Name string `json:"name"`
	// Status are the URLs of its status server, the best one first.
	Status []string `json:"status"`
	// Pools are what it serves.
	Pools []MemberPool `json:"pools"`
	// Since is when it first made itself known.
	Since time.Time `json:"since"`

	// Alive is true while the balancer gives a sign of life, which lasts ten
	// seconds. Not alive means unknown, not gone.
	Alive bool `json:"-"`
	// AliveSince is when its present life began; zero if it has none.
	AliveSince time.Time `json:"-"`
}

// MemberPool is one pool a balancer serves.
type MemberPool struct {
	// Pool is the pool's name at the balancer: "web_443".
	Pool string `json:"pool"`
	// Source is the prefix of the keys of its servers:
	// "/conftool/v1/pools/dc/cluster/service/".
	Source string `json:"source"`
	// Store is the server of the store it follows there, as configured:
	// "http://etcd1:2379". One record may name several of one cluster.
	Store string `json:"store,omitempty"`
}

// life is the value of a member's sign of life.
type life struct {
	Status []string  `json:"status"`
	Since  time.Time `json:"since"`
}

// SourceOf returns the prefix a balancer's source must name to serve the
// object of that key.
func (s *Store) SourceOf(t *objects.Type, k objects.Key) string {
	return strings.TrimSuffix(s.base(t)+k.String(), k.Name)
}

// Members returns all balancers that ever made themselves known here, sorted
// by name. A record that cannot be read is an error: leaving it out would be
// to forget a balancer.
func (s *Store) Members(ctx context.Context) ([]Member, error) {
	one, cancel := s.request(ctx)
	defer cancel()
	records, lives := s.own("balancers"), s.own("life")
	resp, err := s.client.Txn(one).Then(
		clientv3.OpGet(records, clientv3.WithPrefix()),
		clientv3.OpGet(lives, clientv3.WithPrefix()),
	).Commit()
	if err != nil {
		return nil, fmt.Errorf("list balancers: %w", s.explain(ctx, err))
	}
	alive := make(map[string]life)
	for _, kv := range resp.Responses[1].GetResponseRange().Kvs {
		var l life
		_ = json.Unmarshal(kv.Value, &l) // that it is there is what matters
		alive[strings.TrimPrefix(string(kv.Key), lives)] = l
	}
	var members []Member
	for _, kv := range resp.Responses[0].GetResponseRange().Kvs {
		name := strings.TrimPrefix(string(kv.Key), records)
		m, err := parseMember(name, kv.Value)
		if err != nil {
			return nil, fmt.Errorf("list balancers: %w", err)
		}
		l, ok := alive[name]
		m.Alive, m.AliveSince = ok, l.Since
		members = append(members, m)
	}
	return members, nil
}

// parseMember reads a member record.
func parseMember(name string, data []byte) (Member, error) {
	var m Member
	if err := json.Unmarshal(data, &m); err != nil {
		return Member{}, fmt.Errorf("record of %s: %w", name, err)
	}
	if m.Name != name {
		return Member{}, fmt.Errorf("record of %s: it names %q", name, m.Name)
	}
	return m, nil
}

// ErrAlive is wrapped by the error of a Forget of a balancer that lives.
var ErrAlive = errors.New("is alive: stop it first")

// Forget removes the record of a balancer that is no more, together with an
// audit record. A balancer that lives is not forgotten: it would come back,
// and until then nobody would ask it.
func (s *Store) Forget(ctx context.Context, audit Audit, name string) error {
	one, cancel := s.request(ctx)
	defer cancel()
	key, alive := s.own("balancers")+name, s.own("life")+name
	resp, err := s.client.Get(one, key)
	if err != nil {
		return fmt.Errorf("forget %s: %w", name, s.explain(ctx, err))
	}
	if len(resp.Kvs) == 0 {
		return fmt.Errorf("forget %s: %w", name, ErrNotFound)
	}
	now := time.Now()
	rec := Recorded{ID: newID(now), Time: now.UTC(), Audit: audit,
		Objects: []RecordedObject{{Key: key, Before: rawJSON(resp.Kvs[0].Value)}}}
	done, err := s.client.Txn(one).If(
		clientv3.Compare(clientv3.CreateRevision(alive), "=", 0),
		clientv3.Compare(clientv3.ModRevision(key), "=", resp.Kvs[0].ModRevision),
	).Then(
		clientv3.OpDelete(key),
		clientv3.OpPut(s.own("changes")+rec.key(), rec.encode()),
	).Commit()
	switch {
	case err != nil:
		return fmt.Errorf("forget %s: %w", name, s.explain(ctx, err))
	case !done.Succeeded:
		return fmt.Errorf("forget %s: it %w", name, ErrAlive)
	}
	return nil
}
