package script_test

import (
	"context"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"
	"github.com/rogpeppe/go-internal/testscript"
)

// startRouter runs a plain GoBGP that waits for the balancer to call.
func (w *world) startRouter(ts *testscript.TestScript, addr string) {
	ctx := context.Background()
	w.router = server.NewBgpServer()
	go w.router.Serve()
	ts.Check(w.router.StartBgp(ctx, &api.StartBgpRequest{Global: &api.Global{
		Asn: 64601, RouterId: addr, ListenPort: 1790, ListenAddresses: []string{addr},
	}}))
	ts.Check(w.router.AddPeer(ctx, &api.AddPeerRequest{Peer: &api.Peer{
		Conf:      &api.PeerConf{NeighborAddress: "127.0.0.1", PeerAsn: 64600},
		Transport: &api.Transport{PassiveMode: true},
	}}))
}

// awaitRoute waits until the router has the route, or with neg until it has
// not.
func (w *world) awaitRoute(ts *testscript.TestScript, neg bool, prefix string) {
	deadline := time.Now().Add(30 * time.Second)
	for {
		found := false
		ts.Check(w.router.ListPath(apiutil.ListPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: bgp.RF_IPv4_UC},
			func(nlri bgp.NLRI, _ []*apiutil.Path) { found = found || nlri.String() == prefix }))
		if found != neg {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("route %s: found %t, want %t", prefix, found, !neg)
		}
		time.Sleep(20 * time.Millisecond) // a pause between questions, not a wait for an outcome
	}
}
