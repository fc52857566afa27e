package lbd

import (
	"context"
	"sync"
	"time"

	"github.com/sluice-lb/sluice/internal/bgp"
	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// speaker is what routers need of one; *bgp.Speaker is one.
type speaker interface {
	Set([]bgp.Route)
	Peers() []bgp.PeerState
}

// routers passes routes on to the speaker and tells the board how things stand.
type routers struct {
	speaker speaker
	asn     uint32
	board   *lbstatus.Board

	mu        sync.Mutex
	announced []string
}

// newRouters returns nil where BGP is off.
func newRouters(config *bgp.Config, speaker *bgp.Speaker, board *lbstatus.Board) *routers {
	if config == nil {
		return nil
	}
	return &routers{speaker: speaker, asn: config.LocalASN, board: board}
}

// Set implements balancer.Routes.
func (r *routers) Set(routes []bgp.Route) {
	r.speaker.Set(routes)
	if routes == nil {
		return // which changes nothing
	}
	announced := []string{}
	for _, route := range routes {
		announced = append(announced, route.Prefix.String())
	}
	r.mu.Lock()
	r.announced = announced
	r.mu.Unlock()
	r.tell()
}

// lookEvery is how often the sessions are looked at.
const lookEvery = time.Second

// run keeps the board told until ctx ends.
func (r *routers) run(ctx context.Context) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		r.tell()
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		}
	}
}

func (r *routers) tell() {
	r.mu.Lock()
	defer r.mu.Unlock()
	state := lbstatus.BGP{Enabled: true, LocalASN: r.asn, Announced: r.announced}
	for _, p := range r.speaker.Peers() {
		state.Peers = append(state.Peers, lbstatus.Peer{
			Address: p.Addr.String(), ASN: p.ASN, Session: p.Session, Since: p.Since.UTC().Truncate(time.Millisecond), Reason: p.Reason,
		})
	}
	r.board.PublishBGP(state)
}
