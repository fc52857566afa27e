package bgp

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"
)

// rib is what is announced at present. Run's goroutine owns it.
type rib struct {
	server    *server.BgpServer
	config    Config
	log       *slog.Logger
	announced map[netip.Prefix]uint32 // to the MED
}

// set brings what is announced to what is wanted. A route that cannot be
// announced is logged, and tried again at the next set.
func (r *rib) set(routes []Route) {
	wanted := make(map[netip.Prefix]uint32, len(routes))
	for _, route := range routes {
		wanted[route.Prefix.Masked()] = route.MED
	}
	for prefix := range r.announced {
		if _, ok := wanted[prefix]; !ok {
			r.withdraw(prefix)
		}
	}
	for prefix, med := range wanted {
		if old, ok := r.announced[prefix]; !ok || old != med {
			r.announce(prefix, med)
		}
	}
}

func (r *rib) announce(prefix netip.Prefix, med uint32, communities ...uint32) {
	path, err := r.path(prefix, med, communities...)
	if err == nil {
		_, err = r.server.AddPath(apiutil.AddPathRequest{Paths: []*apiutil.Path{path}})
	}
	if err != nil {
		r.log.Warn("bgp: announce route", "prefix", prefix, "error", err)
		return
	}
	r.announced[prefix] = med
	r.log.Info("bgp: route announced", "prefix", prefix, "med", med)
}

func (r *rib) withdraw(prefix netip.Prefix) {
	path, err := r.path(prefix, 0)
	if err == nil {
		err = r.server.DeletePath(apiutil.DeletePathRequest{Paths: []*apiutil.Path{path}})
	}
	if err != nil {
		r.log.Warn("bgp: withdraw route", "prefix", prefix, "error", err)
		return
	}
	delete(r.announced, prefix)
	r.log.Info("bgp: route withdrawn", "prefix", prefix)
}

// drain announces everything once more with the community of RFC 8326, which
// asks routers to prefer any other path.
func (r *rib) drain() {
	for prefix, med := range r.announced {
		r.announce(prefix, med, uint32(bgp.COMMUNITY_PLANNED_SHUT))
	}
}

// path writes a route the way PyBal does: ORIGIN IGP, AS_PATH, next hop and
// always a MED.
func (r *rib) path(prefix netip.Prefix, med uint32, communities ...uint32) (*apiutil.Path, error) {
	nlri, err := bgp.NewIPAddrPrefix(prefix)
	if err != nil {
		return nil, err
	}
	family, nextHop := bgp.RF_IPv4_UC, r.config.NextHop4
	if prefix.Addr().Is6() {
		family, nextHop = bgp.RF_IPv6_UC, r.config.NextHop6
	}
	if !nextHop.IsValid() {
		return nil, errors.New("no next hop for this family")
	}
	reach, err := bgp.NewPathAttributeMpReachNLRI(family, []bgp.PathNLRI{{NLRI: nlri}}, nextHop)
	if err != nil {
		return nil, err
	}
	attrs := []bgp.PathAttributeInterface{
		bgp.NewPathAttributeOrigin(bgp.BGP_ORIGIN_ATTR_TYPE_IGP),
		reach, // GoBGP makes a NEXT_HOP of it for IPv4
		bgp.NewPathAttributeMultiExitDisc(med),
	}
	if asPath := r.asPath(); len(asPath) > 0 {
		segment := bgp.NewAs4PathParam(bgp.BGP_ASPATH_ATTR_TYPE_SEQ, asPath)
		attrs = append(attrs, bgp.NewPathAttributeAsPath([]bgp.AsPathParamInterface{segment}))
	}
	if len(communities) > 0 {
		attrs = append(attrs, bgp.NewPathAttributeCommunities(communities))
	}
	return &apiutil.Path{Family: family, Nlri: nlri, Attrs: attrs, Age: time.Now().Unix()}, nil
}

// asPath returns the path without its first element if that is our own number,
// which GoBGP puts in front towards other systems.
func (r *rib) asPath() []uint32 {
	path := r.config.ASPath
	if len(path) > 0 && path[0] == r.config.LocalASN {
		return path[1:]
	}
	return path
}

// flushTimeout bounds how long withdrawals may take to leave.
const (
	flushTimeout = time.Second
	flushTick    = 10 * time.Millisecond
)

// withdrawAll withdraws everything and waits until every established peer has
// been sent it: closing the session drops what is still queued. GoBGP does not
// tell when its queue is empty, so it counts as sent when every peer got an
// UPDATE and no more follow.
func (r *rib) withdrawAll() {
	if len(r.announced) == 0 {
		return
	}
	before := r.updatesSent()
	r.set(nil)
	last := before
	tick := time.NewTicker(flushTick)
	defer tick.Stop()
	for deadline := time.Now().Add(flushTimeout); time.Now().Before(deadline); <-tick.C {
		now := r.updatesSent()
		if maps.Equal(now, last) && moreForAll(before, now) {
			return
		}
		last = now
	}
	r.log.Warn("bgp: withdrawals may not have reached every peer")
}

// moreForAll tells whether every peer still there has been sent an UPDATE.
func moreForAll(before, now map[string]uint64) bool {
	for peer, n := range now {
		if old, ok := before[peer]; ok && n == old {
			return false
		}
	}
	return true
}

// updatesSent counts the UPDATE messages sent to each established peer.
func (r *rib) updatesSent() map[string]uint64 {
	sent := make(map[string]uint64)
	err := r.server.ListPeer(context.Background(), &api.ListPeerRequest{}, func(p *api.Peer) {
		if p.GetState().GetSessionState() == api.PeerState_SESSION_STATE_ESTABLISHED {
			sent[p.GetState().GetNeighborAddress()] = p.GetState().GetMessages().GetSent().GetUpdate()
		}
	})
	if err != nil {
		r.log.Warn("bgp: list peers", "error", err)
	}
	return sent
}
