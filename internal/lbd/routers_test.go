package lbd

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-lb/sluice/internal/bgp"
	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// speech is a speaker whose sessions are what the test says.
type speech struct {
	routes [][]bgp.Route
	mu     sync.Mutex
	peers  []bgp.PeerState
}

func (s *speech) Set(routes []bgp.Route) { s.routes = append(s.routes, routes) }

func (s *speech) Peers() []bgp.PeerState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.peers)
}

func TestRouters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		board := lbstatus.NewBoard()
		began := time.Now().UTC()
		peer := bgp.Peer{Addr: netip.MustParseAddr("192.0.2.254"), ASN: 65001, Port: 179}
		s := &speech{peers: []bgp.PeerState{{Peer: peer, Session: "active", Since: began}}}
		r := &routers{speaker: s, asn: 64600, board: board}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = r.run(ctx) }()
		synctest.Wait()
		want := lbstatus.BGP{Enabled: true, LocalASN: 64600, Announced: []string{},
			Peers: []lbstatus.Peer{{Address: "192.0.2.254", ASN: 65001, Session: "active", Since: began}}}
		check := func(when string) {
			t.Helper()
			if diff := cmp.Diff(want, board.BGP()); diff != "" {
				t.Errorf("%s: -want +got\n%s", when, diff)
			}
		}
		check("at the start")

		r.Set([]bgp.Route{{Prefix: netip.MustParsePrefix("198.51.100.1/32"), MED: 5}})
		want.Announced = []string{"198.51.100.1/32"}
		check("at once")
		r.Set(nil) // says nothing
		check("after nothing was said")

		up := began.Add(time.Minute)
		s.mu.Lock()
		s.peers[0].Session, s.peers[0].Since, s.peers[0].Reason = "established", up, "hold timer expired"
		s.mu.Unlock()
		want.Peers[0].Session, want.Peers[0].Since, want.Peers[0].Reason = "established", up, "hold timer expired"
		time.Sleep(lookEvery) // of the bubble's clock
		synctest.Wait()
		check("after a look")
		r.Set([]bgp.Route{})
		want.Announced = []string{}
		check("withdrawn")
		if len(s.routes) != 3 || len(s.routes[0]) != 1 || s.routes[1] != nil || s.routes[2] == nil {
			t.Errorf("the speaker was told %v", s.routes)
		}
	})
}
