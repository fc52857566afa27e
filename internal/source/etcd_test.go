package source

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/sluice-lb/sluice/internal/devetcd"
	"github.com/sluice-lb/sluice/internal/lb"
	"github.com/sluice-lb/sluice/pkg/state"
)

// guarded is a store that wants certificates and a password.
type guarded struct {
	t      *testing.T
	ca     *devetcd.Authority
	opts   devetcd.Options
	server *devetcd.Server
	dir    string
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{t: t, dir: t.TempDir()}
	var err error
	if g.ca, err = devetcd.NewAuthority(g.dir); err == nil {
		err = g.ca.Issue("server", "lb1")
	}
	g.check(err)
	g.opts = devetcd.Options{
		Dir: filepath.Join(g.dir, "etcd"), CertFile: g.ca.File("server.pem"), KeyFile: g.ca.File("server.key"), CAFile: g.ca.File("ca.pem"), TokenTTL: 1,
	}
	g.start()
	g.check(os.WriteFile(g.ca.File("password"), []byte("secret\n"), 0o600))
	root := g.client(clientv3.Config{})
	ctx := t.Context()
	for _, name := range []string{"root", "lb"} {
		_, err := root.RoleAdd(ctx, name)
		g.check(err)
		_, err = root.UserAdd(ctx, name, "secret")
		g.check(err)
		_, err = root.UserGrantRole(ctx, name, name)
		g.check(err)
	}
	_, err = root.RoleGrantPermission(ctx, "lb", "/conftool/", "/conftool0", clientv3.PermissionType(clientv3.PermReadWrite))
	g.check(err)
	_, err = root.AuthEnable(ctx)
	g.check(err)
	return g
}

func (g *guarded) check(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

func (g *guarded) start() {
	g.t.Helper()
	var err error
	g.server, err = devetcd.Start(g.opts)
	g.check(err)
	g.opts.Listen = g.server.Addr() // from now on
	g.t.Cleanup(func() { _ = g.server.Close() })
}

func (g *guarded) client(cfg clientv3.Config) *clientv3.Client {
	g.t.Helper()
	pair, err := tls.LoadX509KeyPair(g.ca.File("lb1.pem"), g.ca.File("lb1.key"))
	g.check(err)
	roots, err := ReadRoots(g.ca.File("ca.pem"))
	g.check(err)
	cfg.Endpoints, cfg.Logger = []string{g.server.Endpoint()}, zap.NewNop()
	cfg.TLS = &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}
	c, err := clientv3.New(cfg)
	g.check(err)
	g.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (g *guarded) put(host string) {
	g.t.Helper()
	c := g.client(clientv3.Config{Username: "root", Password: "secret"})
	_, err := c.Put(g.t.Context(), "/conftool/v1/pools/dc/web/http/"+host, `{"weight": 10, "pooled": "yes"}`)
	g.check(err)
}

func (g *guarded) access() Access {
	return Access{CA: g.ca.File("ca.pem"), Cert: g.ca.File("lb1-both.pem"), Username: "lb", PasswordFile: g.ca.File("password")}
}

func (g *guarded) service() lb.Service {
	return lb.Service{Name: "web", VIP: netip.MustParseAddrPort("192.0.2.1:443"), Source: "etcd://" + g.opts.Listen + "/conftool/v1/pools/dc/web/http/"}
}

// follow follows the store with some access until the test ends.
func (g *guarded) follow(a Access) chan lb.Heard {
	heard := make(chan lb.Heard, 100)
	sources := New(slog.New(slog.DiscardHandler), nil, WithAccess(a))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- sources.Follow(ctx, g.service(), func(h lb.Heard) {
			select {
			case heard <- h:
			case <-ctx.Done():
			}
		})
	}()
	g.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			g.t.Error(err)
		}
		g.check(sources.Close())
	})
	return heard
}

// With its certificate and password a balancer follows a guarded store, for
// longer than a login is good for, and takes it up again when the store has been
// away, be that at the very start.
func TestGuardedStore(t *testing.T) {
	g := newGuarded(t)
	g.put("127.0.0.1")
	g.check(g.server.Close())
	heard := g.follow(g.access())
	if h := <-heard; h.Pool != nil || h.Err == "" || strings.Contains(h.Err, "secret") {
		t.Errorf("a store that is away: %+v", h)
	}
	g.start()
	until(t, heard, func(h lb.Heard) bool { return h.Pool != nil && h.Err == "" })
	quiet := 0
	until(t, heard, func(h lb.Heard) bool { // one a second, and a login is good for one
		quiet++
		return quiet == 4 && h.Err == ""
	})
	g.put("127.0.0.2")
	until(t, heard, func(h lb.Heard) bool { return h.Pool != nil && len(h.Pool.Backends) == 2 })
	g.check(g.server.Close())
	until(t, heard, func(h lb.Heard) bool { return h.Err != "" })
	g.check(g.ca.Issue("server", "lb1")) // certificates are replaced while it is away
	g.start()
	g.put("127.0.0.3")
	until(t, heard, func(h lb.Heard) bool { return h.Pool != nil && len(h.Pool.Backends) == 3 })
}

// Without what it takes there is trouble, told in one line and without secrets,
// and never an empty pool.
func TestGuardedStoreRefuses(t *testing.T) {
	g := newGuarded(t)
	g.put("127.0.0.1")
	g.check(os.WriteFile(g.ca.File("wrong"), []byte("hunter2\n"), 0o600))
	other, err := devetcd.NewAuthority(t.TempDir())
	g.check(err)
	for _, tt := range []struct {
		name   string
		change func(*Access)
		want   string
	}{
		{"wrong password", func(a *Access) { a.PasswordFile = g.ca.File("wrong") }, "authentication failed"},
		{"nobody", func(a *Access) { *a = Access{CA: a.CA, Cert: a.Cert} }, "etcdserver: "},
		{"no certificate", func(a *Access) { a.Cert = "" }, "certificate required"},
		{"another authority", func(a *Access) { a.CA = other.File("ca.pem") }, "unknown authority"},
		{"the system's authorities", func(a *Access) { a.CA, a.TLS = "", true }, "unknown authority"},
		{"no TLS", func(a *Access) { *a = Access{} }, "etcd http://"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := g.access()
			tt.change(&a)
			g := *g
			g.t = t
			h := until(t, (<-chan lb.Heard)(g.follow(a)), func(h lb.Heard) bool { return h.Pool != nil || strings.Contains(h.Err, tt.want) })
			if h.Pool != nil || strings.Contains(h.Err, "\n") || strings.Contains(h.Err, "hunter2") || strings.Contains(h.Err, "secret") {
				t.Errorf("heard %+v", h)
			}
		})
	}
}

func TestAccessCheck(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		access Access
		want   string
	}{
		{Access{}, ""},
		{Access{TLS: true}, ""},
		{Access{CA: empty}, "etcd-ca: read certificates " + empty + ": none found"},
		{Access{CA: dir + "/gone"}, "etcd-ca: read certificates: open "},
		{Access{Cert: empty}, "etcd-cert: tls: "},
		{Access{Username: "u", PasswordFile: empty}, "etcd-password-file: " + empty + ": empty"},
		{Access{Username: "u", PasswordFile: dir + "/gone"}, "etcd-password-file: open "},
	} {
		err := tt.access.Check()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)) {
			t.Errorf("%+v: %v, want %q", tt.access, err, tt.want)
		}
	}
}

func TestParseEtcd(t *testing.T) {
	for _, tt := range []struct {
		source, prefix, err string
		endpoints           []string
	}{
		{"etcd://etcd.example/a/b/", "/a/b/", "", []string{"http://etcd.example:2379"}},
		{"etcd://e1,e2:4001,[::1]/a", "/a/", "", []string{"http://e1:2379", "http://e2:4001", "http://[::1]:2379"}},
		{"ETCD://e1/a", "/a/", "", []string{"http://e1:2379"}},
		{"etcd://e1,e1:2379/a", "", "names e1:2379 twice", nil},
		{"etcd://e1,/a", "", "names no host", nil},
		{"etcd://e1,e2:x/a", "", "invalid port", nil},
		{"etcd://e1,e2", "", "names no key", nil},
		{"etcd://e1/a?b", "", "and nothing else", nil},
	} {
		endpoints, prefix, err := parseEtcd(tt.source)
		if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) || tt.err == "" && err != nil {
			t.Errorf("%s: %v", tt.source, err)
		}
		if !slices.Equal(endpoints, tt.endpoints) || err == nil && prefix != tt.prefix {
			t.Errorf("%s: %v %s", tt.source, endpoints, prefix)
		}
	}
}

// A balancer registers in a guarded store as well, and is told once what is
// wrong where it cannot.
func TestRegisterInAGuardedStore(t *testing.T) {
	g := newGuarded(t)
	sources := New(slog.New(slog.DiscardHandler), nil, WithAccess(g.access()))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- sources.Register(ctx, "lb1", []string{"http://192.0.2.1:9090"}, []lb.Service{g.service()})
	}()
	store, err := state.Open(state.Config{Endpoints: []string{g.server.Endpoint()}, Username: "lb", Password: "secret", TLS: must(g.access().config(nil)).TLS})
	g.check(err)
	defer store.Close()
	for {
		members, err := store.Members(ctx)
		g.check(err)
		if len(members) == 1 && members[0].Alive {
			break
		}
		select {
		case <-ctx.Done():
			t.Fatal("never registered")
		case <-time.After(10 * time.Millisecond):
		}
	}
	cancel()
	g.check(<-done)
	g.check(sources.Close())
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
