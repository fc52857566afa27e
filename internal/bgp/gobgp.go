package bgp

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/server"
)

// start configures a fresh GoBGP server and lets it connect.
func (s *Speaker) start(ctx context.Context, srv *server.BgpServer) error {
	global := &api.Global{
		Asn:        s.config.LocalASN,
		RouterId:   s.config.RouterID.String(),
		ListenPort: s.config.LocalPort,
	}
	for _, a := range s.config.ListenAddrs {
		global.ListenAddresses = append(global.ListenAddresses, a.String())
	}
	if err := srv.StartBgp(ctx, &api.StartBgpRequest{Global: global}); err != nil {
		return err
	}
	if err := acceptNothing(ctx, srv); err != nil {
		return err
	}
	callbacks := server.WatchEventMessageCallbacks{OnPeerUpdate: s.onPeer}
	if err := srv.WatchEvent(ctx, callbacks, server.WatchPeer()); err != nil {
		return fmt.Errorf("watch sessions: %w", err)
	}
	for _, p := range s.config.Peers {
		if err := srv.AddPeer(ctx, &api.AddPeerRequest{Peer: s.peer(p)}); err != nil {
			return fmt.Errorf("add peer %s: %w", p.Addr, err)
		}
	}
	return nil
}

// acceptNothing lets only our own routes into the table. Without it a speaker
// with two peers would offer each the other's routes.
func acceptNothing(ctx context.Context, srv *server.BgpServer) error {
	policy := &api.Policy{Name: "own", Statements: []*api.Statement{{
		Name:       "own",
		Conditions: &api.Conditions{RouteType: api.Conditions_ROUTE_TYPE_LOCAL},
		Actions:    &api.Actions{RouteAction: api.RouteAction_ROUTE_ACTION_ACCEPT},
	}}}
	if err := srv.AddPolicy(ctx, &api.AddPolicyRequest{Policy: policy}); err != nil {
		return fmt.Errorf("add import policy: %w", err)
	}
	assignment := &api.PolicyAssignment{
		Name:          "global",
		Direction:     api.PolicyDirection_POLICY_DIRECTION_IMPORT,
		Policies:      []*api.Policy{{Name: "own"}},
		DefaultAction: api.RouteAction_ROUTE_ACTION_REJECT,
	}
	if err := srv.SetPolicyAssignment(ctx, &api.SetPolicyAssignmentRequest{Assignment: assignment}); err != nil {
		return fmt.Errorf("assign import policy: %w", err)
	}
	return nil
}

// multihopTTL lets a peer be as far away as it can be for PyBal, which leaves
// the TTL alone.
const multihopTTL = 64

// peer says both families to every peer, and retries soon.
func (s *Speaker) peer(p Peer) *api.Peer {
	family := func(afi api.Family_Afi) *api.AfiSafi {
		return &api.AfiSafi{Config: &api.AfiSafiConfig{
			Family:  &api.Family{Afi: afi, Safi: api.Family_SAFI_UNICAST},
			Enabled: true,
		}}
	}
	return &api.Peer{
		Conf:         &api.PeerConf{NeighborAddress: p.Addr.String(), PeerAsn: p.ASN},
		EbgpMultihop: &api.EbgpMultihop{Enabled: true, MultihopTtl: multihopTTL},
		Transport:    &api.Transport{RemotePort: uint32(p.Port)},
		Timers:       &api.Timers{Config: &api.TimersConfig{ConnectRetry: uint64(s.config.Retry.Seconds())}},
		AfiSafis:     []*api.AfiSafi{family(api.Family_AFI_IP), family(api.Family_AFI_IP6)},
	}
}

// quiet hands GoBGP's log on with its news as debugging and its errors as
// warnings: what matters about a session the Speaker says itself.
type quiet struct{ slog.Handler }

func quieter(level slog.Level) slog.Level {
	if level >= slog.LevelWarn {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// Enabled implements slog.Handler.
func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return q.Handler.Enabled(ctx, quieter(level))
}

// Handle implements slog.Handler.
func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	r.Level = quieter(r.Level)
	r.Message = "gobgp: " + r.Message
	return q.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }
