package etcdv2

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Config says where a v2 store is.
type Config struct {
	// Endpoints are its servers' URLs, "https://host:port"; at least one. They
	// are asked in turn until one answers.
	Endpoints []string
	// TLS is how to speak to https endpoints; nil means the system's authorities
	// and no certificate of our own.
	TLS *tls.Config
	// Username and Password, if set, are sent with each request.
	Username, Password string
	// Timeout is how long a server may be silent; 5 s unless set.
	Timeout time.Duration
}

// Client reads from a live store.
type Client struct {
	cfg       Config
	endpoints []*url.URL
	http      *http.Client
}

// New returns a Client. It does not speak to the store yet. Close gives up idle
// connections.
func New(cfg Config) (*Client, error) {
	if len(cfg.Endpoints) == 0 {
		return nil, errors.New("etcd v2: no endpoints given")
	}
	cfg.Timeout = cmp.Or(cfg.Timeout, 5*time.Second)
	c := &Client{cfg: cfg}
	for _, text := range cfg.Endpoints {
		u, err := parseEndpoint(text)
		if err != nil {
			return nil, fmt.Errorf("etcd v2: %w", err)
		}
		c.endpoints = append(c.endpoints, u)
	}
	c.http = &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:        cfg.TLS,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true,
			IdleConnTimeout:        time.Minute,
		},
		CheckRedirect: c.stay,
	}
	return c, nil
}

// Close gives up idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// parseEndpoint wants a server and nothing else. What is wrong is said without
// the URL where that may hold a password.
func parseEndpoint(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("endpoint: not a URL like https://host:2379")
	case u.User != nil:
		return nil, errors.New("endpoint: user and password belong into a file, not into the URL")
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.RawQuery != "", u.Fragment != "", strings.Trim(u.Path, "/") != "":
		return nil, fmt.Errorf("endpoint %q: want a URL like https://host:2379, and the keys' prefix apart", text)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// maxRedirects is how many redirects one request may take.
const maxRedirects = 3

// stay follows redirects on the same server only: another one is not who was
// asked, and should not be sent a password.
func (c *Client) stay(req *http.Request, via []*http.Request) error {
	if first := via[0].URL; req.URL.Scheme != first.Scheme || req.URL.Host != first.Host {
		return fmt.Errorf("redirected to %s://%s: not followed", req.URL.Scheme, req.URL.Host)
	}
	if len(via) > maxRedirects {
		return errors.New("redirected in circles")
	}
	return nil
}

// Read returns all keys below a prefix ("/conftool/v1"), as a quorum of the
// servers has them. That there is no such prefix is an error that wraps
// ErrNotFound.
func (c *Client) Read(ctx context.Context, prefix string) (Tree, error) {
	var failed error
	for _, endpoint := range c.endpoints {
		tree, err := c.readFrom(ctx, endpoint, prefix)
		if err == nil {
			return tree, nil
		}
		err = fmt.Errorf("%s: %w", endpoint, err)
		if ctx.Err() != nil || decisive(err) {
			return Tree{}, fmt.Errorf("read etcd v2: %w", err)
		}
		if failed == nil {
			failed = err
		} else {
			failed = fmt.Errorf("%w; %w", failed, err)
		}
	}
	return Tree{}, fmt.Errorf("read etcd v2: %w", failed)
}

// decisive tells whether another server of the store would say the same.
func decisive(err error) bool {
	const firstOfRaft = 300 // the servers' trouble among themselves
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code < firstOfRaft
	}
	s, ok := errors.AsType[statusError](err)
	return ok && (s == http.StatusUnauthorized || s == http.StatusForbidden)
}

// statusError is an HTTP status without a word from etcd.
type statusError int

func (e statusError) Error() string {
	text := fmt.Sprintf("HTTP status %d", int(e))
	if e == http.StatusNotFound {
		text += ": no v2 API there (etcd has it with --enable-v2, up to release 3.5)"
	}
	return text
}

// errSilent is the cause a request ends with whose server has stopped talking,
// or does not come to an end.
var errSilent = errors.New("no answer")

// longest is how long one answer may take that keeps coming.
const longest = 5 * time.Minute

// readFrom asks one server.
func (c *Client) readFrom(ctx context.Context, endpoint *url.URL, prefix string) (Tree, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ctx, stop := context.WithTimeoutCause(ctx, longest, fmt.Errorf("%w within %s", errSilent, longest))
	defer stop()
	silence := time.AfterFunc(c.cfg.Timeout, func() { cancel(fmt.Errorf("%w within %s", errSilent, c.cfg.Timeout)) })
	defer silence.Stop()
	tree, err := c.get(ctx, endpoint, prefix, func() { silence.Reset(c.cfg.Timeout) })
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errSilent) {
		return tree, cause
	}
	return tree, err
}

// get sends one request; alive is called whenever the server has said something.
func (c *Client) get(ctx context.Context, endpoint *url.URL, prefix string, alive func()) (Tree, error) {
	u := *endpoint
	u.Path, u.RawQuery = "/v2/keys/"+strings.Trim(prefix, "/"), "recursive=true&quorum=true"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return Tree{}, err
	}
	req.Header.Set("User-Agent", "sluice")
	if c.cfg.Username != "" {
		req.SetBasicAuth(c.cfg.Username, c.cfg.Password)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return Tree{}, plain(err)
	}
	defer resp.Body.Close()
	alive()
	tree, err := ReadDump(&lively{resp.Body, alive})
	if e, ok := errors.AsType[*Error](err); ok {
		e.Status = resp.StatusCode
		return Tree{}, e
	}
	switch {
	case resp.StatusCode != http.StatusOK:
		return Tree{}, statusError(resp.StatusCode)
	case err != nil:
		return Tree{}, fmt.Errorf("unusable answer: %w", err)
	}
	tree.Server, tree.Cluster = endpoint.String(), resp.Header.Get("X-Etcd-Cluster-Id")
	tree.Index, err = strconv.ParseUint(resp.Header.Get("X-Etcd-Index"), 10, 64)
	if err != nil {
		return Tree{}, errors.New("unusable answer: no X-Etcd-Index")
	}
	return tree, tree.within(prefix)
}

// within wants every key below the prefix: anything else answers another
// question.
func (t Tree) within(prefix string) error {
	prefix = "/" + strings.Trim(prefix, "/")
	for _, n := range t.Nodes {
		if !strings.HasPrefix(n.Key, strings.TrimSuffix(prefix, "/")+"/") {
			return fmt.Errorf("unusable answer: key %q is not below %s", n.Key, prefix)
		}
	}
	return nil
}

// lively tells of every byte that comes.
type lively struct {
	io.Reader
	alive func()
}

func (l *lively) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if n > 0 {
		l.alive()
	}
	return n, err
}

// plain takes off what is repeated in an error of a request.
func plain(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		same := *e
		same.Source = nil
		return &same
	}
	return err
}
