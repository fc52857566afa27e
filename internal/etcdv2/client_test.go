package etcdv2

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/sluice-lb/sluice/internal/etcdv2/etcdv2test"
)

var v2 etcdv2test.Builder

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		v2.Close()
		os.Exit(code)
	}))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// read reads with the configuration given.
func read(t *testing.T, cfg Config, prefix string) (Tree, error) {
	t.Helper()
	c, err := New(cfg)
	must(t, err)
	defer c.Close()
	return c.Read(t.Context(), prefix)
}

func TestReadRealServer(t *testing.T) {
	s := v2.Serve(t, etcdv2test.Options{})
	keys := map[string]string{
		"/conftool/v1/pools/eqiad/text/https/cp1": `{"weight": 10, "pooled": "yes"}`,
		"/conftool/v1/pools/a é/%2F?x/#/100%":     "{\"é\": \"\\u00e9\"}",
		"/conftool/v1/empty-value":                "",
		"/conftool/v1/number":                     "5",
	}
	for k, v := range keys {
		must(t, s.Put(k, v))
	}
	must(t, s.Put("/conftool/v1/_hidden/x", "unseen"))
	must(t, s.Put("/conftool/v1/pools/eqiad/_hidden", "unseen"))
	must(t, s.Put("/conftool/v10/x", "beside"))
	must(t, s.Set("/conftool/v1/directory", url.Values{"dir": {"true"}}))
	must(t, s.Set("/conftool/v1/lock", url.Values{"value": {"{}"}, "ttl": {"1000"}}))
	must(t, s.Put("/conftool/v1/gone", "x"))
	must(t, s.Delete("/conftool/v1/gone"))
	tree, err := read(t, Config{Endpoints: []string{s.URL}}, "/conftool/v1")
	must(t, err)
	got := map[string]string{}
	for _, n := range tree.Nodes {
		if n.Expires != (n.Key == "/conftool/v1/lock") || !n.HasValue {
			t.Errorf("node %+v", n)
		}
		if !n.Expires {
			got[n.Key] = n.Value
		}
	}
	if diff := cmp.Diff(keys, got); diff != "" {
		t.Errorf("keys (-put +read):\n%s", diff)
	}
	if tree.Index < 8 || tree.Cluster == "" || tree.Server != s.URL {
		t.Errorf("index %d, cluster %q, server %q", tree.Index, tree.Cluster, tree.Server)
	}
	must(t, s.Put("/elsewhere", "x"))
	again, err := read(t, Config{Endpoints: []string{s.URL}}, "conftool/v1/")
	if err != nil || again.Index <= tree.Index || len(again.Nodes) != len(tree.Nodes) {
		t.Errorf("after a change elsewhere: index %d, %d nodes, %v", again.Index, len(again.Nodes), err)
	}
	one, err := read(t, Config{Endpoints: []string{s.URL}}, "/conftool/v1/pools/a é/%2F?x")
	if err != nil || len(one.Nodes) != 1 {
		t.Errorf("below a key that has to be escaped: %v, %v", one.Nodes, err)
	}
	if empty, err := read(t, Config{Endpoints: []string{s.URL}}, "/conftool/v1/directory"); err != nil || len(empty.Nodes) != 0 {
		t.Errorf("empty directory: %v, %v", empty, err)
	}
	if _, err := read(t, Config{Endpoints: []string{s.URL}}, "/conftool/v2"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "error 100: Key not found (/conftool/v2)") {
		t.Errorf("no such key: %v", err)
	}
	if _, err := read(t, Config{Endpoints: []string{s.URL}}, "/conftool/v1/number"); err == nil || !strings.Contains(err.Error(), "is not below") {
		t.Errorf("a key for a prefix: %v", err)
	}
}

// What is forbidden is an error, never an empty tree, and no other server is
// asked whether it thinks better of it.
func TestReadWithAuthentication(t *testing.T) {
	s := v2.Serve(t, etcdv2test.Options{})
	must(t, s.Put("/conftool/v1/x", "{}"))
	must(t, s.Secure("sesame", "/conftool/v1", map[string]string{"ada": "lovelace", "blind": "bat"}))
	must(t, s.Do(http.MethodPut, "/v2/auth/users/blind", "application/json", `{"user":"blind","revoke":["reader"]}`))
	for _, tc := range []struct{ user, password, want string }{
		{"", "", "error 110"},
		{"ada", "babbage", "error 110"},
		{"nobody", "lovelace", "error 110"},
		{"blind", "bat", "error 110"},
		{"ada", "lovelace", ""},
	} {
		tree, err := read(t, Config{Endpoints: []string{s.URL, "http://127.0.0.1:1"}, Username: tc.user, Password: tc.password}, "/conftool/v1")
		switch {
		case tc.want == "":
			if err != nil || len(tree.Nodes) != 1 {
				t.Errorf("%s: %v, %v", tc.user, tree, err)
			}
		case err == nil || !strings.Contains(err.Error(), tc.want) || errors.Is(err, ErrNotFound) || strings.Contains(err.Error(), "127.0.0.1:1:"):
			t.Errorf("%s: %v, want %s", tc.user, err, tc.want)
		case tc.password != "" && strings.Contains(err.Error(), tc.password):
			t.Errorf("%s: the error shows the password: %v", tc.user, err)
		}
	}
}

func TestReadOverTLS(t *testing.T) {
	cert, key, roots := certificate(t)
	s := v2.Serve(t, etcdv2test.Options{CertFile: cert, KeyFile: key})
	s.Client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}
	must(t, s.Put("/conftool/v1/x", "{}"))
	if tree, err := read(t, Config{Endpoints: []string{s.URL}, TLS: &tls.Config{RootCAs: roots}}, "/conftool/v1"); err != nil || len(tree.Nodes) != 1 {
		t.Errorf("%v, %v", tree, err)
	}
	if _, err := read(t, Config{Endpoints: []string{s.URL}}, "/conftool/v1"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("of an authority nobody knows: %v", err)
	}
	if _, err := read(t, Config{Endpoints: []string{strings.Replace(s.URL, "https", "http", 1)}}, "/conftool/v1"); err == nil {
		t.Error("spoke plainly to a TLS server")
	}
}

// certificate takes the one that net/http/httptest brings, which is good for
// 127.0.0.1.
func certificate(t *testing.T) (cert, key string, roots *x509.CertPool) {
	t.Helper()
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	pair := s.TLS.Certificates[0]
	private, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	must(t, err)
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	must(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), 0o600))
	must(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	roots = x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return cert, key, roots
}

// Servers that are not well are left for the next; where none is, each is named.
func TestReadAsksInTurn(t *testing.T) {
	s := v2.Serve(t, etcdv2test.Options{})
	must(t, s.Put("/conftool/v1/x", "{}"))
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	must(t, err)
	defer l.Close()
	bad := map[string]string{"http://127.0.0.1:1": "connection refused", "http://" + l.Addr().String(): "no answer within 100ms"}
	page := func(name string, status int, header, body, want string) {
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if name, value, ok := strings.Cut(header, ": "); ok {
				w.Header().Set(name, value)
			}
			w.WriteHeader(status)
			_, _ = fmt.Fprint(w, body)
		}))
		t.Cleanup(web.Close)
		bad[web.URL] = want
	}
	page("bad gateway", 502, "", "<html>", "HTTP status 502")
	page("raft", 500, "", `{"errorCode":301,"message":"During Leader Election","cause":"","index":4}`, "error 301: During Leader Election")
	page("no v2 API", 404, "", "404 page not found\n", "HTTP status 404: no v2 API there")
	page("HTML", 200, "", "<html>", "unusable answer: byte 0: invalid character '<'")
	page("nothing", 200, "", "", "unusable answer: byte 0: cut off")
	page("no index", 200, "", answer, "unusable answer: no X-Etcd-Index")
	page("another prefix", 200, "X-Etcd-Index: 3", `[{"key":"/conftool/v10/x","value":"{}"}]`, `key "/conftool/v10/x" is not below /conftool/v1`)
	page("cut off", 200, "Content-Length: 10000", answer, "unexpected EOF")
	page("a tree, but an error", 203, "X-Etcd-Index: 3", answer, "HTTP status 203")
	page("elsewhere", 307, "Location: https://127.0.0.1:1/v2/keys", "", "redirected to https://127.0.0.1:1: not followed")
	page("in circles", 307, "Location: /v2/keys/conftool/v1", "", "redirected in circles")
	var all []string
	for u, want := range bad {
		all = append(all, u)
		_, err := read(t, Config{Endpoints: []string{u}, Timeout: 100 * time.Millisecond}, "/conftool/v1")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	_, err = read(t, Config{Endpoints: all, Timeout: 100 * time.Millisecond}, "/conftool/v1")
	for u := range bad {
		if err == nil || !strings.Contains(err.Error(), u) {
			t.Errorf("%s is not named: %v", u, err)
		}
	}
	if tree, err := read(t, Config{Endpoints: append(all, s.URL), Timeout: 100 * time.Millisecond}, "/conftool/v1"); err != nil || len(tree.Nodes) != 1 {
		t.Errorf("with a good one last: %v, %v", tree, err)
	}
}

// A server that stops in the middle is as silent as one that never began.
func TestReadLeavesAServerThatStops(t *testing.T) {
	stopped := make(chan struct{})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Etcd-Index", "3")
		_, _ = fmt.Fprint(w, answer[:100])
		_ = http.NewResponseController(w).Flush()
		<-stopped
	}))
	defer web.Close()
	defer close(stopped)
	tree, err := read(t, Config{Endpoints: []string{web.URL}, Timeout: 100 * time.Millisecond}, "/conftool/v1")
	if err == nil || !strings.Contains(err.Error(), "no answer within 100ms") || len(tree.Nodes) > 0 {
		t.Errorf("%v, %v", tree, err)
	}
}

// A password goes to the server it is meant for and to no other.
func TestRedirectsAreNotSentThePassword(t *testing.T) {
	heard := make(chan string, 1)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { heard <- r.Header.Get("Authorization") }))
	defer other.Close()
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer first.Close()
	_, err := read(t, Config{Endpoints: []string{first.URL}, Username: "ada", Password: "lovelace"}, "/conftool/v1")
	if err == nil || !strings.Contains(err.Error(), "not followed") {
		t.Errorf("got %v", err)
	}
	select {
	case header := <-heard:
		t.Errorf("the other server was asked, with %q", header)
	default:
	}
}

func TestEndpointsAreServers(t *testing.T) {
	for _, tc := range []struct{ url, want string }{
		{"", "want a URL"},
		{"conf1:2379", "URL"},
		{"ftp://conf1", "want a URL like"},
		{"http://conf1:2379/v2/keys/conftool", "and the keys' prefix apart"},
		{"http://ada:lovelace@conf1:2379", "user and password belong into a file"},
		{"http://ada:lovelace@conf1:port", "not a URL"},
	} {
		_, err := New(Config{Endpoints: []string{tc.url}})
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "lovelace") {
			t.Errorf("%s: %v", tc.url, err)
		}
	}
	if _, err := New(Config{}); err == nil {
		t.Error("no endpoints are enough")
	}
}

func TestReadEndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	c, err := New(Config{Endpoints: []string{"http://" + l.Addr().String(), "http://127.0.0.1:1"}})
	must(t, err)
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		if conn, err := l.Accept(); err == nil {
			cancel()
			_ = conn.Close()
		}
	}()
	if _, err := c.Read(ctx, "/conftool/v1"); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "127.0.0.1:1:") {
		t.Errorf("got %v", err)
	}
}
