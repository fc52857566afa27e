package state

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/sluice-lb/sluice/internal/devetcd"
	"github.com/sluice-lb/sluice/pkg/objects"
)

// grantable starts a server with authentication on: root, and a user who may
// read everything, and write one cluster and the history.
func grantable(t *testing.T) (endpoint string, root *clientv3.Client) {
	t.Helper()
	server, err := devetcd.Start(devetcd.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	open := func(cfg clientv3.Config) *clientv3.Client {
		cfg.Endpoints, cfg.Logger, cfg.DialTimeout = []string{server.Endpoint()}, zap.NewNop(), 5*time.Second
		c, err := clientv3.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	ctx, admin := t.Context(), open(clientv3.Config{})
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	grant := func(role, prefix string, kind clientv3.PermissionType) {
		_, err := admin.RoleGrantPermission(ctx, role, prefix, clientv3.GetPrefixRangeEnd(prefix), kind)
		do(err)
	}
	for _, name := range []string{"root", "pool-eqiad-text", "blind"} {
		_, err := admin.UserAdd(ctx, name, "secret-"+name)
		do(err)
		if name != "root" {
			_, err = admin.RoleAdd(ctx, name)
			do(err)
		}
		_, err = admin.UserGrantRole(ctx, name, name)
		if name == "root" && err != nil {
			_, err = admin.RoleAdd(ctx, name)
			do(err)
			_, err = admin.UserGrantRole(ctx, name, name)
		}
		do(err)
	}
	grant("pool-eqiad-text", "/conftool/", clientv3.PermissionType(clientv3.PermRead))
	grant("pool-eqiad-text", "/conftool/v1/pools/eqiad/text/", clientv3.PermissionType(clientv3.PermReadWrite))
	grant("pool-eqiad-text", "/conftool/sluice/changes/", clientv3.PermissionType(clientv3.PermReadWrite))
	grant("pool-eqiad-text", "/conftool/sluice/drained/conftool/v1/pools/eqiad/text/", clientv3.PermissionType(clientv3.PermReadWrite))
	_, err = admin.AuthEnable(ctx)
	do(err)
	return server.Endpoint(), open(clientv3.Config{Username: "root", Password: "secret-root"})
}

func TestRoles(t *testing.T) {
	endpoint, root := grantable(t)
	for _, key := range []string{"eqiad/text/https/cp1001", "codfw/text/https/cp2001"} {
		if _, err := root.Put(t.Context(), "/conftool/v1/pools/"+key, `{"weight": 10, "pooled": "yes"}`); err != nil {
			t.Fatal(err)
		}
	}
	node := objects.Node()
	all, _ := node.SelectExact(nil)
	weight := []objects.Setting{{Field: "weight", Value: 5}}

	s, err := Open(Config{Endpoints: []string{endpoint}, Username: "pool-eqiad-text", Password: "secret-pool-eqiad-text"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	found, err := s.List(t.Context(), node, all)
	if err != nil || len(found.Objects) != 2 {
		t.Fatalf("got %v, %v", found.Objects, err)
	}
	codfw, eqiad := found.Objects[0], found.Objects[1]
	change, err := s.Update(t.Context(), Audit{}, []Mutation{{Object: eqiad, Set: weight}})
	if err != nil || !change.Objects[0].Changed {
		t.Fatalf("got %+v, %v", change, err)
	}
	_, err = s.Update(t.Context(), Audit{}, []Mutation{{Object: change.Objects[0].Object, Set: weight}, {Object: codfw, Set: weight}})
	want := ": etcdserver: permission denied: user pool-eqiad-text may not write /conftool/v1/pools/codfw/text/https/cp2001, write /conftool/sluice/drained/conftool/v1/pools/codfw/text/https/cp2001"
	if err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got  %v\nwant …%s", err, want)
	}

	blind, err := Open(Config{Endpoints: []string{endpoint}, Username: "blind", Password: "secret-blind"})
	if err != nil {
		t.Fatal(err)
	}
	defer blind.Close()
	_, err = blind.List(t.Context(), node, all)
	if want := "permission denied: user blind may not read /conftool/v1/pools/*"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got  %v\nwant …%s", err, want)
	}
}

func TestAuthentication(t *testing.T) {
	endpoint, _ := grantable(t)
	if _, err := Open(Config{Endpoints: []string{endpoint}, Username: "root", Password: "guessed"}); err == nil ||
		!strings.Contains(err.Error(), "open etcd "+endpoint) || !strings.Contains(err.Error(), "authentication failed") || strings.Contains(err.Error(), "guessed") {
		t.Errorf("wrong password: %v", err)
	}
	s, err := Open(Config{Endpoints: []string{endpoint}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	all, _ := objects.Node().SelectExact(nil)
	if _, err := s.List(t.Context(), objects.Node(), all); err == nil || !strings.Contains(err.Error(), "user name is empty") {
		t.Errorf("nobody: %v", err)
	}
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	if _, err := Open(Config{Endpoints: []string{"http://" + gone.Addr().String()}, Username: "u", Password: "p", Timeout: 300 * time.Millisecond}); err == nil ||
		!strings.Contains(err.Error(), "connection refused") {
		t.Errorf("no server: %v", err)
	}
}

func TestTLS(t *testing.T) {
	ca, err := devetcd.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Issue("server", "ada"); err != nil {
		t.Fatal(err)
	}
	server, err := devetcd.Start(devetcd.Options{CertFile: ca.File("server.pem"), KeyFile: ca.File("server.key"), CAFile: ca.File("ca.pem")})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	pair, err := tls.LoadX509KeyPair(ca.File("ada.pem"), ca.File("ada.key"))
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(ca.File("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	tests := []struct {
		name, want string
		cfg        *tls.Config
	}{
		{"both", "", &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}},
		{"no certificate", "certificate required", &tls.Config{RootCAs: roots}},
		{"unknown authority", "certificate signed by unknown authority", &tls.Config{RootCAs: x509.NewCertPool(), Certificates: []tls.Certificate{pair}}},
		{"nothing", "certificate signed by unknown authority", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Open(Config{Endpoints: []string{server.Endpoint()}, TLS: tt.cfg, Timeout: 500 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			all, _ := objects.Node().SelectExact(nil)
			_, err = s.List(context.WithoutCancel(t.Context()), objects.Node(), all)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
