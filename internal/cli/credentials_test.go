package cli

import (
	"crypto/tls"
	"net"
	"path/filepath"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/sluice-lb/sluice/internal/devetcd"
)

// A store that wants certificates and knows its users: each way of saying who
// we are, and what each user may not do.
func TestCredentials(t *testing.T) {
	w := &world{t: t, dir: t.TempDir(), stdin: strings.NewReader(""), vars: map[string]string{"USER": "ada"}}
	ca, err := devetcd.NewAuthority(w.dir)
	if err == nil {
		err = ca.Issue("server", "cp1001", "pool-eqiad")
	}
	if err != nil {
		t.Fatal(err)
	}
	path := func(name string) string { return filepath.Join(w.dir, name) }
	server, err := devetcd.Start(devetcd.Options{CertFile: path("server.pem"), KeyFile: path("server.key"), CAFile: path("ca.pem")})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	fill(t, server, path)

	const mw = "eqiad/web/https/mw1001: weight changed 1 => "
	tests := []struct {
		name, config, rc, args string
		want                   ran
	}{
		{"files and a password file", "ca_cert: DIR/ca.pem\ncert: DIR/cp1001.pem\nkey: DIR/cp1001.key\nusername: pool-eqiad\npassword_file: DIR/password\n", "",
			"select name=mw1001 set/weight=2", ran{0, mw + "2\n", ""}},
		{"an etcdrc as conftool has it", "", "host: 127.0.0.1\nport: PORT\nprotocol: https\nca_cert: DIR/ca.pem\ncert: DIR/cp1001-both.pem\nusername: pool-eqiad\npassword: hunter2\n",
			"select name=mw1001 set/weight=3", ran{0, mw + "3\n", ""}},
		{"the certificate is the user", "ca_cert: DIR/ca.pem\ncert: DIR/pool-eqiad-both.pem\n", "",
			"select name=mw1001 set/weight=4", ran{0, mw + "4\n", ""}},
		{"another's key", "ca_cert: DIR/ca.pem\ncert: DIR/cp1001-both.pem\nusername: pool-eqiad\npassword_file: DIR/password\n", "",
			"--quiet select name=cp2001 set/weight=4", ran{1, "", "permission denied: user pool-eqiad may not write /conftool/v1/pools/codfw/web/https/cp2001"}},
		{"by certificate, another's key", "ca_cert: DIR/ca.pem\ncert: DIR/pool-eqiad-both.pem\n", "",
			"--quiet select name=cp2001 delete", ran{1, "", "permission denied: user pool-eqiad may not write /conftool/v1/pools/codfw/web/https/cp2001"}},
		{"a user nobody knows", "ca_cert: DIR/ca.pem\ncert: DIR/cp1001-both.pem\n", "",
			"select name=mw1001 get", ran{1, "", "confctl: list pools: etcd https://127.0.0.1:PORT: etcdserver: "}},
		{"wrong password", "ca_cert: DIR/ca.pem\ncert: DIR/cp1001-both.pem\nusername: pool-eqiad\npassword_file: DIR/ca.pem\n", "",
			"select name=mw1001 get", ran{3, "", "confctl: open etcd https://127.0.0.1:PORT: etcdserver: authentication failed"}},
		{"no certificate", "ca_cert: DIR/ca.pem\ntimeout: 600ms\n", "",
			"select name=mw1001 get", ran{1, "", "remote error: tls: certificate required"}},
		{"no authority", "cert: DIR/cp1001-both.pem\ntimeout: 600ms\n", "",
			"select name=mw1001 get", ran{1, "", "certificate signed by unknown authority"}},
		{"no key", "ca_cert: DIR/ca.pem\ncert: DIR/cp1001.pem\n", "", "select name=mw1001 get", ran{3, "", "confctl: read cert DIR/cp1001.pem: tls: "}},
	}
	w.file("password", "hunter2\n")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w.t = t
			_, port, _ := net.SplitHostPort(server.Addr())
			fill := strings.NewReplacer("DIR", w.dir, "PORT", port)
			config := tt.config + "driver_options: {etcd_config_file: DIR/etcdrc}\n"
			if tt.rc == "" {
				config += "endpoints: ['https://127.0.0.1:PORT']\n"
			}
			w.file("etcdrc", fill.Replace(tt.rc))
			args := append([]string{"--config", w.file("config.yaml", fill.Replace(config))}, strings.Fields(tt.args)...)
			got := w.run(Confctl, args...)
			if strings.Contains(got.stdout+got.stderr, "hunter2") {
				t.Error("the password is shown")
			}
			got.wants(t, ran{tt.want.code, tt.want.stdout, fill.Replace(tt.want.stderr)})
			if tt.want.code == 0 {
				w.run(Confctl, append(args[:2], "--quiet", "select", "name=mw1001", "set/weight=1")...)
			}
		})
	}
}

// fill stores two nodes and turns authentication on: root, and a user who may
// read all, and write one site's pools and what is recorded of changes.
func fill(t *testing.T, server *devetcd.Server, path func(string) string) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(path("server.pem"), path("server.key"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := clientv3.New(clientv3.Config{Endpoints: []string{server.Endpoint()}, Logger: zap.NewNop(),
		TLS: &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}}})
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	ctx := t.Context()
	do := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"eqiad/web/https/mw1001", "codfw/web/https/cp2001"} {
		do(root.Put(ctx, "/conftool/v1/pools/"+key, `{"weight": 1, "pooled": "yes"}`))
	}
	for _, name := range []string{"root", "pool-eqiad"} {
		do(root.RoleAdd(ctx, name))
		do(root.UserAdd(ctx, name, "hunter2"))
		do(root.UserGrantRole(ctx, name, name))
	}
	for prefix, kind := range map[string]clientv3.PermissionType{
		"/conftool/":                         clientv3.PermissionType(clientv3.PermRead),
		"/conftool/v1/pools/eqiad/":          clientv3.PermissionType(clientv3.PermReadWrite),
		"/conftool/sluice/changes/":          clientv3.PermissionType(clientv3.PermReadWrite),
		"/conftool/sluice/drained/conftool/": clientv3.PermissionType(clientv3.PermReadWrite),
	} {
		do(root.RoleGrantPermission(ctx, "pool-eqiad", prefix, clientv3.GetPrefixRangeEnd(prefix), kind))
	}
	do(root.AuthEnable(ctx))
}
