package health

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// fetchCheck is PyBal's ProxyFetch: it fetches a URL from the server, whatever the
// URL's own host and port, and looks at the status.
type fetchCheck struct {
	rhythm
	expectation
	pages       []page
	all         bool // every page each time, instead of one of them
	maxFailures int  // how many pages may fail then
}

// page is one URL, as the bytes that ask for it.
type page struct {
	url     string
	request []byte
	secure  bool
	name    string      // of the host asked for, without a port
	tls     *tls.Config // nil: plain
}

// How much of an answer is read at most. A header beyond its bound is an
// error; a body beyond its bound counts as read.
const (
	maxHeader = 64 << 10
	maxBody   = 1 << 20
	maxHints  = 8 // informational responses before the real one
)

// newFetch reads PyBal's options. Ours: the timeout covers connecting too
// (PyBal waits 30 s for that), times may be fractions of a second; host, sni,
// tls-verify, tls-ca, header, body, and http_status with several statuses.
func newFetch(o *options) fetchCheck {
	c := fetchCheck{
		rhythm:      newRhythm(o, 10*time.Second, 5*time.Second),
		expectation: newExpectation(o),
		all:         o.yes("check_all", false),
	}
	host, _ := o.plain("host")
	for _, text := range o.list("url") {
		p, err := newPage(text, host)
		if err != nil {
			o.fail("url", "%w", err)
			return c
		}
		if p.secure {
			p.tls = newTLS(o, p.name)
		}
		c.pages = append(c.pages, p)
	}
	c.maxFailures = o.whole("max_failures", 0, 0, len(c.pages))
	if c.maxFailures > 0 && (!c.all || c.maxFailures == len(c.pages)) {
		o.fail("max_failures", "%d of %d urls only means something with check_all, and if some must pass", c.maxFailures, len(c.pages))
	}
	return c
}

// newPage makes the request for a URL, in the name of host if there is one.
func newPage(text, host string) (page, error) {
	u, err := url.Parse(text)
	if err != nil {
		return page{}, err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return page{}, fmt.Errorf("%q is not an http or https URL", text)
	}
	if host != "" {
		named, err := url.Parse("http://" + host)
		if err != nil || named.Host != host || named.Hostname() == "" {
			return page{}, fmt.Errorf("host %q is not a host name with or without a port", host)
		}
		u.Host = host
	}
	req, err := http.NewRequest(http.MethodGet, u.String(), nil)
	if err != nil {
		return page{}, err
	}
	req.Close = true
	req.Header.Set("User-Agent", "Sluice-lbd")
	var request bytes.Buffer
	if err := req.Write(&request); err != nil {
		return page{}, fmt.Errorf("%q: %w", text, err)
	}
	return page{url: text, request: request.Bytes(), secure: u.Scheme == "https", name: u.Hostname()}, nil
}

func (c fetchCheck) run(ctx context.Context, p *probe) { c.keep(ctx, p, c.look) }

// look fetches one page at random, or all of them at the same time.
func (c fetchCheck) look(ctx context.Context, p *probe) error {
	if !c.all {
		return c.timed(ctx, c.pages[rand.IntN(len(c.pages))], p)
	}
	errs := make([]error, len(c.pages))
	var fetching sync.WaitGroup
	for i, page := range c.pages {
		fetching.Go(func() { errs[i] = c.timed(ctx, page, p) })
	}
	fetching.Wait()
	return c.tooMany(errs)
}

// tooMany returns the error of all pages together, nil if few enough failed.
func (c fetchCheck) tooMany(errs []error) error {
	var first error
	failures, at := 0, 0
	for i, err := range errs {
		if err != nil && failures == 0 {
			first, at = err, i
		}
		if err != nil {
			failures++
		}
	}
	switch {
	case failures <= c.maxFailures:
		return nil
	case len(errs) == 1:
		return first
	}
	return fmt.Errorf("%d of %d urls, %s: %w", failures, len(errs), c.pages[at].url, first)
}

func (c fetchCheck) timed(ctx context.Context, page page, p *probe) error {
	start := time.Now()
	err := c.fetch(ctx, page, p)
	p.account.took(Look{OK: err == nil, URL: page.url}, time.Since(start))
	return err
}

// fetch asks the server for a page. The deadline of ctx ends whatever the
// server is doing to us.
func (c fetchCheck) fetch(ctx context.Context, page page, p *probe) error {
	conn, done, err := p.connect(ctx, "tcp", p.addr)
	if err != nil {
		return err
	}
	defer done()
	if page.tls != nil {
		secure := tls.Client(conn, page.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("tls: %w", err)
		}
		conn = secure
	}
	if _, err := conn.Write(page.request); err != nil {
		return err
	}
	return c.read(conn)
}

// read reads one response and judges it.
func (c fetchCheck) read(conn io.Reader) error {
	limited := &io.LimitedReader{R: conn, N: maxHeader}
	answer := bufio.NewReader(limited)
	resp, err := http.ReadResponse(answer, nil)
	for range maxHints {
		if err != nil || resp.StatusCode/100 != 1 {
			break
		}
		resp, err = http.ReadResponse(answer, nil)
	}
	if err != nil && limited.N <= 0 {
		return fmt.Errorf("header longer than %d bytes", maxHeader)
	}
	if err != nil {
		return err
	}
	limited.N = math.MaxInt64
	// The body is not closed: that would read the rest of it. The caller
	// closes the connection.
	return c.check(resp)
}

// status names a status in the words of the standard, not the server's.
func status(code int) string {
	if text := http.StatusText(code); text != "" {
		return strconv.Itoa(code) + " " + text
	}
	return "status " + strconv.Itoa(code)
}
