package bgp

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
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
	select {
	case <-s.Ready():
		t.Error("ready without a port")
	default:
	}
}

// Once it is ready, routers can call.
func TestSpeakerReadyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	addr := netip.MustParseAddrPort(l.Addr().String())
	must(t, l.Close())
	s, err := New(Config{LocalASN: 1, RouterID: addr.Addr(), ListenAddrs: []netip.Addr{addr.Addr()}, LocalPort: int32(addr.Port())}, quietLog())
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-s.Ready():
		conn, err := net.Dial("tcp", addr.String())
		must(t, err)
		must(t, conn.Close())
	case err := <-ended:
		t.Fatalf("Run: %v", err)
	}
	cancel()
	must(t, <-ended)
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
