package bgp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"
)

// Speaker holds sessions with routers and announces routes to them. It never
// accepts a route, and so never passes one on.
type Speaker struct {
	config  Config
	log     *slog.Logger
	changed chan struct{} // wanted was replaced; holds one
	ready   chan struct{} // closed once Run listens

	mu     sync.Mutex
	wanted []Route // nil until Set says something
	peers  map[netip.Addr]PeerState
}

// PeerState is how one session stands.
type PeerState struct {
	Peer
	// Session is the state of RFC 4271's machine in lower case: "idle",
	// "connect", "active", "opensent", "openconfirm" or "established".
	Session string
	// Since is when Session was entered.
	Since time.Time
	// Reason is why the session went down last; empty if it never did.
	Reason string
}

// Established tells whether routes reach the peer.
func (p PeerState) Established() bool { return p.Session == "established" }

// New checks the configuration. Nothing happens before Run.
func New(config Config, log *slog.Logger) (*Speaker, error) {
	if config.LocalASN == 0 {
		return nil, errors.New("configure bgp: no local AS number")
	}
	if !config.RouterID.Is4() {
		return nil, errors.New("configure bgp: router id is not an IPv4 address")
	}
	if config.Retry == 0 {
		config.Retry = 5 * time.Second
	}
	s := &Speaker{config: config, log: log, changed: make(chan struct{}, 1), ready: make(chan struct{}), peers: make(map[netip.Addr]PeerState)}
	for _, p := range config.Peers {
		if !p.Addr.IsValid() {
			return nil, errors.New("configure bgp: peer without an address")
		}
		if _, ok := s.peers[p.Addr]; ok {
			return nil, fmt.Errorf("configure bgp: peer %s is listed twice", p.Addr)
		}
		s.peers[p.Addr] = PeerState{Peer: p, Session: "idle", Since: time.Now()}
	}
	return s, nil
}

// Set replaces the routes to announce. The latest call wins; it does not wait.
// Nil says nothing and changes nothing; an empty set withdraws everything.
func (s *Speaker) Set(routes []Route) {
	if routes == nil {
		return
	}
	s.mu.Lock()
	s.wanted = append([]Route{}, routes...)
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default: // a change is pending already, and will find this one
	}
}

// Peers returns the state of every session, in the order configured.
func (s *Speaker) Peers() []PeerState {
	s.mu.Lock()
	defer s.mu.Unlock()
	states := make([]PeerState, 0, len(s.config.Peers))
	for _, p := range s.config.Peers {
		states = append(states, s.peers[p.Addr])
	}
	return states
}

// Ready is closed once Run listens for sessions and tries to open them.
func (s *Speaker) Ready() <-chan struct{} { return s.ready }

// Run speaks until ctx ends, and then takes leave: it announces every route
// with the GRACEFUL_SHUTDOWN community, waits DrainWait, withdraws, sends a
// Cease and closes, all in bounded time. It returns nil after that. A Speaker
// runs once.
func (s *Speaker) Run(ctx context.Context) error {
	srv := server.NewBgpServer(server.LoggerOption(slog.New(quiet{s.log.Handler()}), nil))
	go srv.Serve()
	watching, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWatching()
	if err := s.start(watching, srv); err != nil {
		return errors.Join(fmt.Errorf("start bgp: %w", err), stop(srv))
	}
	close(s.ready)
	rib := &rib{server: srv, config: s.config, log: s.log, announced: make(map[netip.Prefix]uint32)}
	for {
		select {
		case <-s.changed:
			rib.set(s.latest())
		case <-ctx.Done():
			s.leave(rib)
			return stop(srv)
		}
	}
}

func (s *Speaker) latest() []Route {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.wanted)
}

// established tells whether anybody would hear us.
func (s *Speaker) established() bool {
	return slices.ContainsFunc(s.Peers(), PeerState.Established)
}

// leave drains and withdraws.
func (s *Speaker) leave(rib *rib) {
	if len(rib.announced) > 0 && s.config.DrainWait > 0 && s.established() {
		s.log.Info("bgp: draining before withdrawal", "wait", s.config.DrainWait)
		rib.drain()
		<-time.After(s.config.DrainWait)
	}
	rib.withdrawAll()
}

// stopTimeout bounds how long closing the sessions may take.
const stopTimeout = 5 * time.Second

// stop sends each peer a Cease and closes everything.
func stop(srv *server.BgpServer) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Stop()
	}()
	select {
	case <-done:
		return nil
	case <-time.After(stopTimeout):
		return fmt.Errorf("stop bgp: sessions are not closed after %s", stopTimeout)
	}
}

// onPeer takes in what GoBGP says about a session.
func (s *Speaker) onPeer(event *apiutil.WatchEventMessage_PeerEvent, at time.Time) {
	addr := event.Peer.State.NeighborAddress
	s.mu.Lock()
	old, ok := s.peers[addr]
	state := old
	state.Session, state.Since = sessionName(event.Peer.State.SessionState), at
	if old.Established() {
		state.Reason = event.Peer.State.DisconnectMessage
	}
	if ok && state.Session != old.Session {
		s.peers[addr] = state
	}
	s.mu.Unlock()
	switch {
	case !ok || state.Session == old.Session:
	case state.Established():
		s.log.Info("bgp: session established", "peer", addr, "asn", event.Peer.State.PeerASN)
	case old.Established():
		s.log.Warn("bgp: session lost", "peer", addr, "reason", state.Reason)
	}
}

func sessionName(state bgp.FSMState) string {
	switch state {
	case bgp.BGP_FSM_CONNECT:
		return "connect"
	case bgp.BGP_FSM_ACTIVE:
		return "active"
	case bgp.BGP_FSM_OPENSENT:
		return "opensent"
	case bgp.BGP_FSM_OPENCONFIRM:
		return "openconfirm"
	case bgp.BGP_FSM_ESTABLISHED:
		return "established"
	}
	return "idle"
}
