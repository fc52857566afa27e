package source

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/sluice-lb/sluice/internal/poolfile"
)

// webTimeout bounds one request, from the dialling to the end of the body.
const webTimeout = 5 * time.Second

// newWebClient returns the client of http and https sources. It uses no proxy,
// follows no redirect and unpacks nothing: what answers is what was named.
func newWebClient(roots *x509.CertPool) *http.Client {
	return &http.Client{
		Timeout: webTimeout,
		Transport: &http.Transport{
			TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConnsPerHost:    16,
			IdleConnTimeout:        time.Minute,
			DisableCompression:     true,
			ForceAttemptHTTP2:      true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// followWeb gets a pool file every second until ctx ends.
func (s *Sources) followWeb(ctx context.Context, u *url.URL, f *follower) error {
	page := webPage{client: s.web, url: u}
	for {
		next := time.After(pollEvery)
		if err := page.get(ctx, f); err != nil && ctx.Err() == nil {
			f.fail(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-next:
		}
	}
}

// webPage is a pool file on a web server.
type webPage struct {
	client *http.Client
	url    *url.URL
	tag    string // of what was last declared
}

// get asks for the page once and tells the follower what it says.
func (p *webPage) get(ctx context.Context, f *follower) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url.String(), nil)
	if err != nil {
		return fmt.Errorf("get %s: %w", p.url, err)
	}
	req.Header.Set("User-Agent", "sluice")
	if p.tag != "" {
		req.Header.Set("If-None-Match", p.tag)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return fmt.Errorf("get %s: %w", p.url, steady(err))
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotModified && p.tag != "":
		f.unchanged()
		return nil
	case resp.StatusCode != http.StatusOK:
		p.tag = ""
		return fmt.Errorf("get %s: HTTP status %d", p.url, resp.StatusCode)
	}
	data, err := readText(resp.Body)
	if err != nil {
		return fmt.Errorf("get %s: %w", p.url, steady(err))
	}
	p.tag = ""
	if f.declare(data, poolfile.FormOf(p.url.Path)) {
		p.tag = resp.Header.Get("ETag")
	}
	return nil
}

// steady takes off what is repeated in an error of a request, and what differs
// between two requests that fail alike: the port they came from.
func steady(err error) error {
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
