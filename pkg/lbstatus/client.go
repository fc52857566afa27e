package lbstatus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
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

// Client asks one balancer. It follows no redirect and uses no proxy: an
// answer that came from elsewhere would be no answer. It is safe for concurrent
// use.
type Client struct {
	base    string
	timeout time.Duration
	roots   *x509.CertPool
	http    *http.Client
}

// Option changes how a Client asks.
type Option func(*Client)

// WithTimeout sets how long one request may take beyond the wait it asks for;
// 5 s unless given.
func WithTimeout(d time.Duration) Option { return func(c *Client) { c.timeout = d } }

// WithRoots verifies balancers that speak HTTPS by these certificates instead of
// the system's; nil means the system's.
func WithRoots(roots *x509.CertPool) Option { return func(c *Client) { c.roots = roots } }

const (
	defaultTimeout = 5 * time.Second
	// maxReport bounds a report: 10,000 members make about 3 MiB.
	maxReport = 8 << 20
	// maxPyBal bounds an answer in PyBal's dialect: a pool of 10,000 servers
	// makes about 1 MiB.
	maxPyBal  = 2 << 20
	userAgent = "sluice"
)

// New returns a Client for the balancer at baseURL, "http://host:port". It does
// not speak to it yet. Close it to give up idle connections.
func New(baseURL string, opts ...Option) (*Client, error) {
	u, err := url.Parse(baseURL)
	if err != nil {
		return nil, fmt.Errorf("balancer URL: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("balancer URL %q: want http://host:port", baseURL)
	}
	c := &Client{base: strings.TrimSuffix(baseURL, "/"), timeout: defaultTimeout}
	for _, o := range opts {
		o(c)
	}
	c.http = &http.Client{
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: c.timeout}).DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.roots},
			TLSHandshakeTimeout:    c.timeout,
			IdleConnTimeout:        time.Minute,
			MaxIdleConnsPerHost:    4,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Close gives up the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Kind is what went wrong with an answer.
type Kind string

// The kinds of trouble a balancer can be.
const (
	// Unreachable is no whole answer: refused, reset, timed out, cut off.
	Unreachable Kind = "unreachable"
	// BadStatus is an answer with a status other than 200.
	BadStatus Kind = "status"
	// Garbage is a body that is not what was asked for.
	Garbage Kind = "garbage"
	// NotLBD is a 404 to a path of ours from a server that is not lbd: ask it
	// in PyBal's dialect.
	NotLBD Kind = "not lbd"
)

// Error is the error of every request a Client makes.
type Error struct {
	Kind Kind
	// URL is what was asked, without the query.
	URL string
	// Status is the HTTP status; 0 without an answer.
	Status int
	// Err says more; with BadStatus it holds the server's own words, if any.
	Err error
}

// Error reads "get URL: what happened".
func (e *Error) Error() string {
	switch {
	case e.Kind == NotLBD:
		return fmt.Sprintf("get %s: not an lbd", e.URL)
	case e.Kind == BadStatus && e.Err == nil:
		return fmt.Sprintf("get %s: HTTP status %d", e.URL, e.Status)
	case e.Kind == BadStatus:
		return fmt.Sprintf("get %s: HTTP status %d: %v", e.URL, e.Status, e.Err)
	case e.Kind == Garbage:
		return fmt.Sprintf("get %s: unusable answer: %v", e.URL, e.Err)
	}
	return fmt.Sprintf("get %s: %v", e.URL, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// IsNotLBD tells whether err means that the server asked is no lbd.
func IsNotLBD(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == NotLBD
}

// Report returns the balancer's report on a pool: as soon as minRevision is
// applied there, or the latest one when the wait ends first. The caller tells
// the two apart by Report.Applied.
func (c *Client) Report(ctx context.Context, pool string, minRevision int64, wait time.Duration) (Report, error) {
	wait = min(max(wait, 0), MaxWait)
	u := c.base + "/v1/pools/" + url.PathEscape(pool)
	query := ""
	if minRevision > 0 {
		query = "?" + url.Values{
			"min_revision": {strconv.FormatInt(minRevision, 10)},
			"wait":         {wait.Round(time.Millisecond).String()},
		}.Encode()
	}
	ctx, cancel := context.WithTimeout(ctx, wait+c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u+query, nil)
	if err != nil {
		return Report{}, &Error{Kind: Unreachable, URL: u, Err: err}
	}
	req.Header.Set("User-Agent", userAgent)
	resp, err := c.http.Do(req)
	body, err := take(u, resp, err, maxReport)
	if err != nil {
		return Report{}, notLBD(err, resp)
	}
	r, err := decodeReport(body, pool)
	if err != nil {
		return Report{}, &Error{Kind: Garbage, URL: u, Status: resp.StatusCode, Err: err}
	}
	return r, nil
}

// notLBD turns the 404 of a server that is not ours into NotLBD.
func notLBD(err error, resp *http.Response) error {
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusNotFound && resp.Header.Get("Server") != ServerName {
		return &Error{Kind: NotLBD, URL: e.URL, Status: e.Status, Err: e.Err}
	}
	return err
}

// take turns what http.Client.Do returned into the body of a 200, read whole.
func take(u string, resp *http.Response, err error, limit int64) ([]byte, error) {
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // its text repeats method and URL
		}
		return nil, &Error{Kind: Unreachable, URL: u, Err: err}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		words, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // an aid to the reader, no more
		return nil, &Error{Kind: BadStatus, URL: u, Status: resp.StatusCode, Err: serverWords(words)}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return nil, &Error{Kind: Unreachable, URL: u, Status: resp.StatusCode, Err: err}
	case int64(len(body)) > limit:
		return nil, &Error{Kind: Garbage, URL: u, Status: resp.StatusCode, Err: fmt.Errorf("more than %d bytes", limit)}
	}
	return body, nil
}
