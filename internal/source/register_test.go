package source

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluice-lb/sluice/internal/devetcd"
	"github.com/sluice-lb/sluice/internal/lb"
	"github.com/sluice-lb/sluice/pkg/state"
)

func TestRegisterIsFoundWhereItsPoolsAre(t *testing.T) {
	server, err := devetcd.Start(devetcd.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	sources := New(slog.New(slog.DiscardHandler), nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = sources.Register(ctx, "lb1", []string{"http://127.0.0.9:9090"}, []lb.Service{
			{Name: "web_443", Source: "etcd://" + server.Addr() + "/conftool/v1/pools/eqiad/web/https"},
			{Name: "dns_53", Source: "etcd://" + server.Addr() + "/other/place/v2/pools/eqiad/dns/udp/"},
			{Name: "local_80", Source: "file:///etc/pools/local"},
		})
	}()
	for namespace, want := range map[string]state.MemberPool{
		"/conftool":    {Pool: "web_443", Source: "/conftool/v1/pools/eqiad/web/https/", Store: server.Endpoint()},
		"/other/place": {Pool: "dns_53", Source: "/other/place/v2/pools/eqiad/dns/udp/", Store: server.Endpoint()},
	} {
		member := awaitMember(t, server.Endpoint(), namespace, true)
		if diff := cmp.Diff([]state.MemberPool{want}, member.Pools, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: pools (-want +got):\n%s", namespace, diff)
		}
	}
	cancel()
	<-done
	awaitMember(t, server.Endpoint(), "/conftool", false)
	if err := sources.Close(); err != nil {
		t.Error(err)
	}
}

// awaitMember asks for the one member of a namespace until it is as alive as
// wanted.
func awaitMember(t *testing.T, endpoint, namespace string, alive bool) state.Member {
	t.Helper()
	store, err := state.Open(state.Config{Endpoints: []string{endpoint}, Namespace: namespace})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for deadline := time.Now().Add(20 * time.Second); ; {
		members, err := store.Members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(members) == 1 && members[0].Alive == alive {
			return members[0]
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: members %+v, want one with alive %v", namespace, members, alive)
		}
	}
}

func TestNamespace(t *testing.T) {
	for prefix, want := range map[string]string{
		"/conftool/v1/pools/dc/cluster/service/": "/conftool",
		"/a/b/v12/pools/x/":                      "/a/b",
		"/dns/":                                  "/dns",
		"/v1/pools/x/":                           "/v1",
		"/conftool/v1/pools/v2/v3/v4/":           "/conftool",
	} {
		if got := namespace(prefix); got != want {
			t.Errorf("%s: got %s, want %s", prefix, got, want)
		}
	}
}
