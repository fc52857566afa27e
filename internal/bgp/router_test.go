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
)

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
