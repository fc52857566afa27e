package health

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// fetchCheck is PyBal's ProxyFetch: it fetches a URL from the server, whatever the
// URL's own host and port, and looks at the status.
type fetchCheck struct {
	rhythm
	pages  []page
	wanted []int // acceptable statuses
}

// page is one URL, as the bytes that ask for it.
type page struct {
	url     string
	request []byte
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
// (PyBal waits 30 s for that), times may be fractions of a second.
func newFetch(o *options) fetchCheck {
	c := fetchCheck{
		rhythm: newRhythm(o, 10*time.Second, 5*time.Second),
		wanted: acceptable(o.whole("http_status", http.StatusOK, 100, 599)),
	}
	for _, text := range o.list("url") {
		p, err := newPage(text)
		if err != nil {
			o.fail("url", "%w", err)
			break
		}
		c.pages = append(c.pages, p)
	}
	if o.yes("check_all", false) && len(c.pages) > 1 {
		o.fail("check_all", "not supported with more than one url")
	}
	return c
}

// acceptable returns the statuses that pass for the one configured. PyBal
// takes 200 to 202 for each other, and 301 to 303, and any other one for 200;
// the last it has to itself.
func acceptable(status int) []int {
	for _, alike := range [][]int{{200, 201, 202}, {301, 302, 303}} {
		if slices.Contains(alike, status) {
			return alike
		}
	}
	return []int{status}
}

func newPage(text string) (page, error) {
	u, err := url.Parse(text)
	if err != nil {
		return page{}, err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return page{}, fmt.Errorf("%q is not an http or https URL", text)
	}
	req, err := http.NewRequest(http.MethodGet, text, nil)
	if err != nil {
		return page{}, err
	}
	req.Close = true
	req.Header.Set("User-Agent", "Sluice-lbd")
	var request bytes.Buffer
	if err := req.Write(&request); err != nil {
		return page{}, fmt.Errorf("%q: %w", text, err)
	}
	p := page{url: text, request: request.Bytes()}
	if u.Scheme == "https" {
		// The name in a backend's certificate is not the balancer's concern,
		// as in PyBal; the server may choose its answer by it, so it is sent.
		p.tls = &tls.Config{ServerName: u.Hostname(), InsecureSkipVerify: true}
	}
	return p, nil
}

func (c fetchCheck) run(ctx context.Context, p *probe) { c.keep(ctx, p, c.look) }

// look fetches one page, at random.
func (c fetchCheck) look(ctx context.Context, p *probe) error {
	page := c.pages[rand.IntN(len(c.pages))]
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
	if !slices.Contains(c.wanted, resp.StatusCode) {
		return errors.New(status(resp.StatusCode))
	}
	limited.N = math.MaxInt64
	// The body is not closed: that would read the rest of it. The caller
	// closes the connection.
	if _, err := io.CopyN(io.Discard, resp.Body, maxBody); err != nil && err != io.EOF {
		return fmt.Errorf("body: %w", err)
	}
	return nil
}

// status names a status in the words of the standard, not the server's.
func status(code int) string {
	if text := http.StatusText(code); text != "" {
		return strconv.Itoa(code) + " " + text
	}
	return "status " + strconv.Itoa(code)
}
