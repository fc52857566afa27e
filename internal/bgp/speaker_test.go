package bgp

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"
	"go.uber.org/goleak"
)

// GoBGP leaves a goroutine of this queue behind with every peer it stops.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/eapache/channels.(*InfiniteChannel).infiniteBuffer"))
}

// patience bounds every wait in these tests. GoBGP waits two seconds before
// its first connection.
const patience = 30 * time.Second

// router is a plain GoBGP that the speaker talks to.
type router struct {
	t       *testing.T
	server  *server.BgpServer
	addr    netip.Addr
	port    uint16
	changed chan struct{} // something happened; holds one
	ends    chan string   // the reason of each session's end
}

// newRouter listens on addr and knows 127.0.0.1 as its neighbour.
func newRouter(t *testing.T, addr string, asn, neighborASN uint32) *router {
	t.Helper()
	r := &router{t: t, addr: netip.MustParseAddr(addr), changed: make(chan struct{}, 1), ends: make(chan string, 16)}
	r.port = freePort(t, addr)
	r.server = server.NewBgpServer()
	go r.server.Serve()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { r.server.Stop(); cancel() })
	must(t, r.server.StartBgp(ctx, &api.StartBgpRequest{Global: &api.Global{
		Asn: asn, RouterId: addr, ListenPort: int32(r.port), ListenAddresses: []string{addr},
	}}))
	must(t, r.server.WatchEvent(ctx, server.WatchEventMessageCallbacks{
		OnBestPath: func([]*apiutil.Path, time.Time) { r.wake() },
		OnPeerUpdate: func(e *apiutil.WatchEventMessage_PeerEvent, _ time.Time) {
			if reason := e.Peer.State.DisconnectMessage; reason != "" {
				select {
				case r.ends <- reason:
				default:
				}
			}
			r.wake()
		},
	}, server.WatchBestPath(true), server.WatchPeer()))
	family := func(afi api.Family_Afi) *api.AfiSafi {
		return &api.AfiSafi{Config: &api.AfiSafiConfig{Family: &api.Family{Afi: afi, Safi: api.Family_SAFI_UNICAST}, Enabled: true}}
	}
	must(t, r.server.AddPeer(ctx, &api.AddPeerRequest{Peer: &api.Peer{
		Conf:      &api.PeerConf{NeighborAddress: "127.0.0.1", PeerAsn: neighborASN},
		Transport: &api.Transport{PassiveMode: true},
		AfiSafis:  []*api.AfiSafi{family(api.Family_AFI_IP), family(api.Family_AFI_IP6)},
	}}))
	return r
}

func (r *router) wake() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

func (r *router) peer(asn uint32) Peer { return Peer{Addr: r.addr, ASN: asn, Port: r.port} }

// table writes every route as "prefix via NEXTHOP med MED path AS… [community]".
func (r *router) table() []string {
	r.t.Helper()
	routes := []string{}
	for _, family := range []bgp.Family{bgp.RF_IPv4_UC, bgp.RF_IPv6_UC} {
		err := r.server.ListPath(apiutil.ListPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: family},
			func(prefix bgp.NLRI, paths []*apiutil.Path) {
				for _, p := range paths {
					routes = append(routes, prefix.String()+describe(p.Attrs))
				}
			})
		must(r.t, err)
	}
	slices.Sort(routes)
	return routes
}

func describe(attrs []bgp.PathAttributeInterface) string {
	var nextHop, med, path, rest string
	for _, a := range attrs {
		switch a := a.(type) {
		case *bgp.PathAttributeNextHop:
			nextHop = " via " + a.Value.String()
		case *bgp.PathAttributeMpReachNLRI:
			nextHop = " via " + a.Nexthop.String()
		case *bgp.PathAttributeMultiExitDisc:
			med = fmt.Sprintf(" med %d", a.Value)
		case *bgp.PathAttributeAsPath:
			path = " path"
			for _, segment := range a.Value {
				path += fmt.Sprintf(" %v", segment.GetAS())
			}
		case *bgp.PathAttributeOrigin:
			if a.Value != bgp.BGP_ORIGIN_ATTR_TYPE_IGP {
				rest += fmt.Sprintf(" origin %d", a.Value)
			}
		case *bgp.PathAttributeCommunities:
			rest += fmt.Sprintf(" community %x", a.Value)
		case *bgp.PathAttributeLocalPref:
		default:
			rest += fmt.Sprintf(" %T", a)
		}
	}
	return nextHop + med + path + rest
}

// wait returns once the router's table is exactly this.
func (r *router) wait(want ...string) {
	r.t.Helper()
	slices.Sort(want)
	timeout := time.After(patience)
	for {
		got := r.table()
		if slices.Equal(got, want) {
			return
		}
		select {
		case <-r.changed:
		case <-timeout:
			r.t.Fatalf("routes at %s (-want +got):\n%s", r.addr, cmp.Diff(want, got))
		}
	}
}

// waitEnd waits for a session to end with a reason that contains want.
func (r *router) waitEnd(want string) {
	r.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case reason := <-r.ends:
			if strings.Contains(reason, want) {
				return
			}
		case <-timeout:
			r.t.Fatalf("no session at %s ended with %q", r.addr, want)
		}
	}
}

// run starts a speaker and returns a function that stops it and waits.
func run(t *testing.T, config Config, log *slog.Logger) (*Speaker, func()) {
	t.Helper()
	config.RouterID = netip.MustParseAddr("192.0.2.10")
	config.NextHop4 = netip.MustParseAddr("192.0.2.10")
	config.NextHop6 = netip.MustParseAddr("2001:db8::10")
	config.Retry = 2 * time.Second
	if config.LocalPort == 0 {
		config.LocalPort = -1
	}
	s, err := New(config, log)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop := func() {
		cancel()
		if done == nil {
			return
		}
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		done = nil
	}
	t.Cleanup(stop)
	return s, stop
}

func routes(prefixes ...string) []Route {
	list := []Route{}
	for i, p := range prefixes {
		list = append(list, Route{Prefix: netip.MustParsePrefix(p), MED: uint32(100 * i)})
	}
	return list
}

func TestSpeakerAnnounces(t *testing.T) {
	external := newRouter(t, "127.0.0.2", 64700, 64600)
	anyASN := newRouter(t, "127.0.0.3", 64800, 64600)
	internal := newRouter(t, "127.0.0.4", 64600, 64600)
	s, stop := run(t, Config{LocalASN: 64600, Peers: []Peer{external.peer(64700), anyASN.peer(0), internal.peer(64600)}}, quietLog())
	const (
		v4 = "192.0.2.1/32 via 192.0.2.10 med 0 path [64600]"
		v6 = "2001:db8:1::1/128 via 2001:db8::10 med 100 path [64600]"
	)
	own := "203.0.113.0/24 via 127.0.0.2"
	s.Set(routes("192.0.2.1/32", "2001:db8:1::1/128"))
	external.wait(v4, v6)
	anyASN.wait(v4, v6)
	internal.wait("192.0.2.1/32 via 192.0.2.10 med 0 path", "2001:db8:1::1/128 via 2001:db8::10 med 100 path")
	for _, p := range s.Peers() {
		if !p.Established() {
			t.Errorf("peer %s is %s", p.Addr, p.Session)
		}
	}

	// A route of a router's own, which must not get any further.
	addOwn(t, external, "203.0.113.0/24")
	external.wait(v4, v6, own)

	s.Set(append(routes("192.0.2.1/32"), Route{Prefix: netip.MustParsePrefix("192.0.2.2/32"), MED: 7}))
	external.wait(v4, "192.0.2.2/32 via 192.0.2.10 med 7 path [64600]", own)
	s.Set([]Route{{Prefix: netip.MustParsePrefix("192.0.2.1/32"), MED: 50}})
	external.wait("192.0.2.1/32 via 192.0.2.10 med 50 path [64600]", own)
	anyASN.wait("192.0.2.1/32 via 192.0.2.10 med 50 path [64600]")
	s.Set([]Route{})
	external.wait(own)
	s.Set(routes("192.0.2.1/32"))
	external.wait(v4, own)
	anyASN.wait(v4)

	stop()
	external.wait(own)
	anyASN.wait()
	internal.wait()
	external.waitEnd("notification-received") // the Cease
}

func TestSpeakerSendsTheConfiguredPath(t *testing.T) {
	r := newRouter(t, "127.0.0.2", 64700, 64600)
	s, _ := run(t, Config{LocalASN: 64600, ASPath: []uint32{64600, 64600, 4200000000}, Peers: []Peer{r.peer(64700)}}, quietLog())
	s.Set(routes("192.0.2.1/32"))
	r.wait("192.0.2.1/32 via 192.0.2.10 med 0 path [64600 64600 4200000000]")
}

// The withdrawals are on their way before the session goes: a router that
// keeps routes over a restart would not drop them otherwise.
func TestSpeakerDrainsAndWithdraws(t *testing.T) {
	r := newRouter(t, "127.0.0.2", 64700, 64600)
	s, stop := run(t, Config{LocalASN: 64600, DrainWait: 300 * time.Millisecond, Peers: []Peer{r.peer(64700)}}, quietLog())
	s.Set(routes("192.0.2.1/32", "2001:db8:1::1/128"))
	r.wait("192.0.2.1/32 via 192.0.2.10 med 0 path [64600]", "2001:db8:1::1/128 via 2001:db8::10 med 100 path [64600]")

	updates := make(chan *apiutil.Path, 64)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	must(t, r.server.WatchEvent(ctx, server.WatchEventMessageCallbacks{OnPathUpdate: func(paths []*apiutil.Path, _ time.Time) {
		for _, p := range paths {
			updates <- p
		}
	}}, server.WatchUpdate(false, "", "")))
	stop()
	r.waitEnd("notification-received")
	r.wait()
	drained, withdrawn := 0, 0
	for drained < 2 || withdrawn < 2 {
		select {
		case p := <-updates:
			if p.Withdrawal {
				withdrawn++
			} else if strings.Contains(describe(p.Attrs), "community [ffff0000]") {
				drained++
			}
		case <-time.After(patience):
			t.Fatalf("%d routes drained, %d withdrawn; want 2 and 2", drained, withdrawn)
		}
	}
}

// Case C53: the router refuses connections at first.
func TestSpeakerRetries(t *testing.T) {
	r := newRouter(t, "127.0.0.2", 64700, 64600)
	port := freePort(t, "127.0.0.2") // nobody listens there yet
	heard := &listening{refused: make(chan struct{}, 1)}
	peer := r.peer(64700)
	peer.Port = port
	s, _ := run(t, Config{LocalASN: 64600, Peers: []Peer{peer}}, slog.New(heard))
	s.Set(routes("192.0.2.1/32"))
	select {
	case <-heard.refused:
	case <-time.After(patience):
		t.Fatal("no attempt to connect")
	}
	if p := s.Peers()[0]; p.Established() {
		t.Errorf("session without a router: %+v", p)
	}
	relay(t, netip.AddrPortFrom(r.addr, port), netip.AddrPortFrom(r.addr, r.port))
	r.wait("192.0.2.1/32 via 192.0.2.10 med 0 path [64600]")
}

func TestSpeakerRetriesAfterLoss(t *testing.T) {
	r := newRouter(t, "127.0.0.2", 64700, 64600)
	s, _ := run(t, Config{LocalASN: 64600, Peers: []Peer{r.peer(64700)}}, quietLog())
	s.Set(routes("192.0.2.1/32"))
	r.wait("192.0.2.1/32 via 192.0.2.10 med 0 path [64600]")
	must(t, r.server.ShutdownPeer(context.Background(), &api.ShutdownPeerRequest{Address: "127.0.0.1"}))
	r.wait()
	r.wait("192.0.2.1/32 via 192.0.2.10 med 0 path [64600]")
	if p := s.Peers()[0]; p.Reason == "" {
		t.Errorf("no reason for the loss: %+v", p)
	}
}

func TestSpeakerCannotListen(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	addr := netip.MustParseAddrPort(l.Addr().String())
	s, err := New(Config{LocalASN: 1, RouterID: addr.Addr(), ListenAddrs: []netip.Addr{addr.Addr()}, LocalPort: int32(addr.Port())}, quietLog())
	must(t, err)
	if err := s.Run(context.Background()); err == nil || !strings.HasPrefix(err.Error(), "start bgp: ") {
		t.Errorf("Run on a port in use: %v", err)
	}
}

// Nothing said is not nothing wanted.
func TestSetNilIsNotEmpty(t *testing.T) {
	s, err := New(Config{LocalASN: 1, RouterID: netip.MustParseAddr("192.0.2.1")}, quietLog())
	must(t, err)
	s.Set(nil)
	if got := s.latest(); got != nil || len(s.changed) != 0 {
		t.Errorf("Set(nil) at first: wanted %v, %d changes pending", got, len(s.changed))
	}
	s.Set(routes("192.0.2.1/32"))
	s.Set(nil)
	if got := s.latest(); len(got) != 1 {
		t.Errorf("Set(nil) after a route: wanted %v", got)
	}
	s.Set([]Route{})
	if got := s.latest(); got == nil || len(got) != 0 || len(s.changed) != 1 {
		t.Errorf("Set(empty): wanted %v, %d changes pending", got, len(s.changed))
	}
}

func TestGoBGPLogsQuietly(t *testing.T) {
	var b strings.Builder
	log := slog.New(quiet{slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})}).With("peer", "x")
	log.Debug("a")
	log.Info("b")
	log.Warn("c")
	log.WithGroup("g").Error("d", "k", 1)
	want := `level=DEBUG msg="gobgp: a" peer=x
level=DEBUG msg="gobgp: b" peer=x
level=WARN msg="gobgp: c" peer=x
level=WARN msg="gobgp: d" peer=x g.k=1
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if log := slog.New(quiet{slog.NewTextHandler(io.Discard, nil)}); log.Enabled(t.Context(), slog.LevelInfo) {
		t.Error("GoBGP's news are shown without debugging")
	}
}

func TestNewRefuses(t *testing.T) {
	good := Config{LocalASN: 1, RouterID: netip.MustParseAddr("192.0.2.1")}
	peer := Peer{Addr: netip.MustParseAddr("192.0.2.2")}
	tests := []struct {
		want   string
		change func(*Config)
	}{
		{"no local AS number", func(c *Config) { c.LocalASN = 0 }},
		{"router id is not an IPv4 address", func(c *Config) { c.RouterID = netip.IPv6Loopback() }},
		{"peer without an address", func(c *Config) { c.Peers = []Peer{{}} }},
		{"peer 192.0.2.2 is listed twice", func(c *Config) { c.Peers = []Peer{peer, peer} }},
	}
	for _, tt := range tests {
		config := good
		tt.change(&config)
		if _, err := New(config, quietLog()); err == nil || err.Error() != "configure bgp: "+tt.want {
			t.Errorf("New: %v, want %s", err, tt.want)
		}
	}
}

// addOwn gives the router a route to announce.
func addOwn(t *testing.T, r *router, prefix string) {
	t.Helper()
	path, err := (&rib{config: Config{NextHop4: r.addr}}).path(netip.MustParsePrefix(prefix), 0)
	must(t, err)
	path.Attrs = slices.DeleteFunc(path.Attrs, func(a bgp.PathAttributeInterface) bool {
		_, is := a.(*bgp.PathAttributeMultiExitDisc)
		return is
	})
	_, err = r.server.AddPath(apiutil.AddPathRequest{Paths: []*apiutil.Path{path}})
	must(t, err)
}

// listening is a log that tells of refused connections.
type listening struct {
	slog.Handler
	refused chan struct{}
}

func (l *listening) Enabled(context.Context, slog.Level) bool { return true }

func (l *listening) Handle(_ context.Context, r slog.Record) error {
	if strings.HasSuffix(r.Message, "failed to connect") {
		select {
		case l.refused <- struct{}{}:
		default:
		}
	}
	return nil
}

func (l *listening) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *listening) WithGroup(string) slog.Handler      { return l }

// relay passes TCP connections on from one address to another.
func relay(t *testing.T, from, to netip.AddrPort) {
	t.Helper()
	l, err := net.Listen("tcp", from.String())
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}}
			out, err := dialer.Dial("tcp", to.String())
			if err != nil {
				in.Close()
				continue
			}
			go pump(in, out)
			go pump(out, in)
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
}

func pump(dst, src net.Conn) {
	_, _ = io.Copy(dst, src)
	dst.Close()
	src.Close()
}

func quietLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// freePort returns a port nobody uses on addr at this moment.
func freePort(t *testing.T, addr string) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(addr, "0"))
	must(t, err)
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String()).Port()
}
