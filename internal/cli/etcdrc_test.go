package cli

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/dns/dnsmessage"
)

func TestEtcdrcFiles(t *testing.T) {
	env := Env{Getenv: func(name string) string {
		return map[string]string{"HOME": "/home/ada", "USER": "no-such-user"}[name]
	}}
	if diff := cmp.Diff([]string{"/etc/etcd/etcdrc", "/home/ada/.etcdrc", "/etc/conftool/etcdrc"}, etcdrcFiles(env, nil)); diff != "" {
		t.Error(diff)
	}
	got := etcdrcFiles(env, map[string]any{"etcd_config_file": "/x"})
	if got[2] != "/x" {
		t.Errorf("got %v", got)
	}
}

func TestLoadEtcdrc(t *testing.T) {
	tests := []struct {
		name  string
		files []string
		want  map[string]any
		err   string
	}{
		{"none", nil, map[string]any{}, ""},
		{"empty", []string{"", "# nothing\n", "{}"}, map[string]any{}, ""},
		{"default port", []string{"host: a"}, map[string]any{"endpoints": []string{"http://a:2379"}}, ""},
		{"protocol alone", []string{"protocol: https"}, map[string]any{"endpoints": []string{"https://127.0.0.1:2379"}}, ""},
		{"later wins, key by key", []string{
			"host: a\nport: 4001\nprotocol: https\nca_cert: /ca\nusername: u", "host: [b, '::1']\nport: 1\ncert: /c\nkey: /k\npassword: p",
		}, map[string]any{
			"endpoints": []string{"https://b:1", "https://[::1]:1"}, "ca_cert": "/ca", "cert": "/c", "key": "/k", "username": "u", "password": "p",
		}, ""},
		{"endpoints", []string{"host: a\nendpoints: [http://x:1]"}, map[string]any{"endpoints": []string{"http://x:1"}}, ""},
		{"what v3 does not need", []string{"version_prefix: /v2\nread_timeout: 60\nallow_redirect: true\nallow_reconnect: true\nuse_proxies: false\n" +
			"expected_cluster_id: x\nper_host_pool_size: 10\nlock_prefix: /l"}, map[string]any{}, ""},
		{"unknown key", []string{"hosts: a"}, nil, "field hosts not found"},
		{"no number", []string{"port: abc"}, nil, "cannot unmarshal"},
		{"port", []string{"port: 70000"}, nil, "port: 70000 is none"},
		{"protocol", []string{"protocol: ftp"}, nil, `protocol: want http or https, got "ftp"`},
		{"no mapping", []string{"- a"}, nil, "cannot unmarshal"},
		{"broken", []string{"a: ["}, nil, "yaml: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := &world{t: t, dir: t.TempDir()}
			files := []string{filepath.Join(w.dir, "missing")}
			for i, text := range tt.files {
				files = append(files, w.file(string(rune('a'+i)), text))
			}
			got, err := loadEtcdrc(files)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "\n") || finish("x", new(strings.Builder), err) != exitBackend {
					t.Fatalf("got %v, want %s and exit 3", err, tt.err)
				}
				return
			}
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// A real DNS server on loopback answers for _etcd._tcp.example.org.
func TestSRVDomain(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer := srvAnswer(buf[:n]); answer != nil {
				_, _ = server.WriteTo(answer, from)
			}
		}
	}()
	defer func() { _ = server.Close(); <-done }()
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
	got, err := (&etcdrc{SRVDomain: "example.org", Protocol: "https"}).endpoints(resolver)
	if diff := cmp.Diff([]string{"https://e1.example.org:2379", "https://e2.example.org:2380"}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got, err := (&etcdrc{SRVDomain: "other.example.org"}).endpoints(resolver); err == nil || got != nil {
		t.Errorf("got %v, %v: nothing may stand in for a failed lookup", got, err)
	}
}

// srvAnswer answers one DNS question.
func srvAnswer(query []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	m.Response, m.Additionals = true, nil
	q := m.Questions[0]
	if q.Name.String() != "_etcd._tcp.example.org." {
		m.RCode = dnsmessage.RCodeNameError
	}
	for i, target := range []string{"e1.example.org.", "e2.example.org."} {
		if m.RCode != dnsmessage.RCodeSuccess || q.Type != dnsmessage.TypeSRV {
			break
		}
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: dnsmessage.TypeSRV, Class: dnsmessage.ClassINET, TTL: 1},
			Body:   &dnsmessage.SRVResource{Priority: uint16(i), Port: uint16(2379 + i), Target: dnsmessage.MustNewName(target)},
		})
	}
	out, err := m.Pack()
	if err != nil {
		return nil
	}
	return out
}
