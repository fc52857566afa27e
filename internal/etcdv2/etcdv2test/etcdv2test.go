// Package etcdv2test runs a real etcd 3.5 with the v2 API for tests, in a process
// of its own: test/etcdv2, a module of its own.
package etcdv2test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Builder builds the server when it is first needed, once for all tests of a
// package.
type Builder struct {
	once    sync.Once
	dir     string
	program string
	err     error
}

// Program returns where the server has been built. The first time on a machine
// this fetches etcd's modules and takes about a minute.
func (b *Builder) Program() (string, error) {
	b.once.Do(func() {
		if b.dir, b.err = os.MkdirTemp("", "etcdv2-"); b.err == nil {
			b.program, b.err = build(b.dir)
		}
	})
	return b.program, b.err
}

func build(dir string) (string, error) {
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("build etcdv2: find the module: %w", err)
	}
	program := filepath.Join(dir, "etcdv2")
	cmd := exec.Command("go", "build", "-o", program, ".")
	cmd.Dir = filepath.Join(filepath.Dir(string(mod)), "test", "etcdv2")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build etcdv2: %w: %s", err, strings.Join(strings.Fields(string(out)), " "))
	}
	return program, nil
}

// Close removes what was built.
func (b *Builder) Close() { _ = os.RemoveAll(b.dir) }

// Serve starts a server that ends with the test. Where it cannot be built the
// test is skipped, or, if CI is set to true, fails: a skip would hide that.
func (b *Builder) Serve(t testing.TB, o Options) *Server {
	t.Helper()
	program, err := b.Program()
	if err != nil && os.Getenv("CI") != "true" {
		t.Skipf("NO ETCD V2, SKIPPED: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	o.Program, o.Dir = program, t.TempDir()
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Options choose where a server listens and keeps its data.
type Options struct {
	Program string // what a Builder has built
	Dir     string // the data directory
	Listen  string // "host:port"; empty is a free port on 127.0.0.1
	// CertFile and KeyFile, if set, make it speak TLS.
	CertFile, KeyFile string
}

// Server is a running server.
type Server struct {
	// URL is where it listens.
	URL string
	// Client is what Do speaks with; set another for TLS.
	Client *http.Client
	// Username and Password are what Do says, if set.
	Username, Password string

	cmd   *exec.Cmd
	stdin io.Closer
}

// Start runs a server and waits until it answers.
func Start(o Options) (*Server, error) {
	listen := o.Listen
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	args := []string{listen, o.Dir}
	if o.CertFile != "" {
		args = append(args, o.CertFile, o.KeyFile)
	}
	s := &Server{cmd: exec.Command(o.Program, args...), Client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	var stderr bytes.Buffer
	s.cmd.Stderr = &stderr
	stdin, err := s.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start etcdv2: %w", err)
	}
	s.stdin = stdin
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("start etcdv2: %w: %s", err, stderr.String())
	}
	s.URL = strings.TrimSpace(line)
	return s, nil
}

// Close ends the server.
func (s *Server) Close() {
	_ = s.stdin.Close()
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// Put stores a value.
func (s *Server) Put(key, value string) error {
	return s.Set(key, url.Values{"value": {value}})
}

// Set sends a PUT for a key with parameters of the API: value, dir, ttl.
func (s *Server) Set(key string, form url.Values) error {
	return s.Do(http.MethodPut, "/v2/keys"+(&url.URL{Path: key}).EscapedPath(), "application/x-www-form-urlencoded", form.Encode())
}

// Delete removes a key.
func (s *Server) Delete(key string) error {
	return s.Do(http.MethodDelete, "/v2/keys"+(&url.URL{Path: key}).EscapedPath(), "", "")
}

// Secure turns authentication on: nobody may do anything but root and the users,
// who may read what is below a prefix.
func (s *Server) Secure(root, prefix string, users map[string]string) error {
	do := func(method, path, body string) error { return s.Do(method, path, "application/json", body) }
	err := do(http.MethodPut, "/v2/auth/users/root", fmt.Sprintf(`{"user":"root","password":%q}`, root))
	if err == nil {
		err = do(http.MethodPut, "/v2/auth/roles/reader", fmt.Sprintf(`{"role":"reader","permissions":{"kv":{"read":[%q],"write":[]}}}`, prefix+"*"))
	}
	for name, password := range users {
		if err == nil {
			err = do(http.MethodPut, "/v2/auth/users/"+name, fmt.Sprintf(`{"user":%q,"password":%q,"roles":["reader"]}`, name, password))
		}
	}
	if err == nil {
		err = do(http.MethodPut, "/v2/auth/enable", "")
	}
	s.Username, s.Password = "root", root
	if err == nil {
		err = do(http.MethodPut, "/v2/auth/roles/guest", `{"role":"guest","revoke":{"kv":{"read":["/*"],"write":["/*"]}}}`)
	}
	return err
}

// Do sends one request, which has to succeed.
func (s *Server) Do(method, path, kind, body string) error {
	req, err := http.NewRequest(method, s.URL+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", kind)
	if s.Username != "" {
		req.SetBasicAuth(s.Username, s.Password)
	}
	resp, err := s.Client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	words, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= http.StatusMultipleChoices {
		err = fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, words)
	}
	return err
}
