package lbstatus

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

// Poll says how often to ask in PyBal's dialect, which knows no waiting.
type Poll struct {
	// Attempts is the number of requests made at most; at least one is.
	Attempts int
	// Pause is the time between two of them, whatever the first one met.
	Pause time.Duration
}

// PyBal asks for one server in PyBal's dialect, again and again until done
// likes the answer, the attempts are used up or ctx ends. done is called with
// each attempt's answer or *Error; nil means to take the first answer whatever
// it says. PyBal returns what the last attempt met.
func (c *Client) PyBal(ctx context.Context, pool, host string, p Poll, done func(ServerState, error) bool) (ServerState, error) {
	if done == nil {
		done = func(_ ServerState, err error) bool { return err == nil }
	}
	u := c.base + "/pools/" + url.PathEscape(pool) + "/" + url.PathEscape(host)
	var state ServerState
	err := c.poll(ctx, u, p, func(body []byte, err error) (bool, error) {
		state = ServerState{}
		if err == nil {
			state, err = decodeServer(body)
			if err != nil {
				err = &Error{Kind: Garbage, URL: u, Status: http.StatusOK, Err: err}
			}
		}
		return done(state, err), err
	})
	return state, err
}

// PyBalPool asks for all servers of a pool in PyBal's dialect, by host.
func (c *Client) PyBalPool(ctx context.Context, pool string) (map[string]ServerState, error) {
	u := c.base + "/pools/" + url.PathEscape(pool)
	var servers map[string]ServerState
	err := c.poll(ctx, u, Poll{Attempts: 1}, func(body []byte, err error) (bool, error) {
		if err == nil {
			servers, err = decodeServers(body)
			if err != nil {
				err = &Error{Kind: Garbage, URL: u, Status: http.StatusOK, Err: err}
			}
		}
		return true, err
	})
	return servers, err
}

// poll requests u until judge is content and returns the error judge gave
// last. Every answer is read and judged between two attempts.
func (c *Client) poll(ctx context.Context, u string, p Poll, judge func([]byte, error) (bool, error)) error {
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return &Error{Kind: Unreachable, URL: u, Err: err}
	}
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Accept", "application/json")
	var last error
	retry := retryablehttp.Client{
		HTTPClient: &http.Client{
			Transport:     c.http.Transport,
			CheckRedirect: c.http.CheckRedirect,
			Timeout:       c.timeout,
		},
		RetryMax: max(p.Attempts, 1) - 1,
		Backoff: func(_, _ time.Duration, _ int, _ *http.Response) time.Duration {
			return p.Pause
		},
		CheckRetry: func(ctx context.Context, resp *http.Response, err error) (bool, error) {
			body, err := take(u, resp, err, maxPyBal)
			if resp != nil {
				resp.Body = http.NoBody // read and closed
			}
			stop, err := judge(body, err)
			last = err
			return !stop && ctx.Err() == nil, nil
		},
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
	resp, err := retry.Do(req)
	if err == nil {
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	if last == nil && ctx.Err() != nil && err != nil {
		return &Error{Kind: Unreachable, URL: u, Err: err}
	}
	return last
}
