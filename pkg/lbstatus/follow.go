package lbstatus

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Event is one thing a followed balancer says. One of its fields is set.
type Event struct {
	// Pools are the names of all pools there are; any other is gone.
	Pools []string
	// Report is the latest on one pool.
	Report *Report
	// BGP is how it stands with the routers.
	BGP *BGP
	// Warning is what is wrong with the balancer as a whole; it is empty once
	// nothing is any more.
	Warning *string
}

// Follow asks a balancer for everything it reports, or for one pool unless that
// is empty, and then for every change, until the caller breaks off or ctx ends.
// When the line is lost it yields the *Error, so that the caller knows it is
// blind; a caller that goes on is connected again after a pause, and told what
// it missed.
func (c *Client) Follow(ctx context.Context, pool string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		l := listener{client: c, pool: pool, pause: streamRetry, yield: yield}
		for ctx.Err() == nil {
			err := l.listen(ctx)
			if l.left || ctx.Err() != nil || !yield(Event{}, err) || !pause(ctx, l.pause) {
				return
			}
		}
	}
}

// listener is one caller of Follow, across connections.
type listener struct {
	client *Client
	pool   string
	last   string        // id of the last event taken in
	pause  time.Duration // before the next connection
	yield  func(Event, error) bool
	left   bool // the caller has had enough
}

// maxSilence is how long a line may be silent before it counts as lost.
const maxSilence = 3 * heartbeat

// listen takes in events over one connection and returns why that ended.
func (l *listener) listen(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alive := time.AfterFunc(l.client.timeout, func() { cancel(context.DeadlineExceeded) })
	defer alive.Stop()
	u := l.client.base + "/v1/events"
	resp, err := l.connect(ctx, u)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxReport)
	var m message
	for alive.Reset(maxSilence); lines.Scan(); alive.Reset(maxSilence) {
		if !m.take(lines.Text()) {
			continue
		}
		if err := l.tell(m); err != nil {
			l.last = "" // what is known is in doubt: hear everything again
			return &Error{Kind: Garbage, URL: u, Status: resp.StatusCode, Err: err}
		}
		if l.left {
			return nil
		}
		m = message{}
	}
	err = lines.Err()
	switch {
	case errors.Is(err, bufio.ErrTooLong):
		return &Error{Kind: Garbage, URL: u, Status: resp.StatusCode, Err: fmt.Errorf("more than %d bytes in a line", maxReport)}
	case context.Cause(ctx) != nil:
		err = context.Cause(ctx)
	case err == nil:
		err = io.ErrUnexpectedEOF
	}
	return &Error{Kind: Unreachable, URL: u, Status: resp.StatusCode, Err: err}
}

// connect returns a stream of events, to be closed by the caller.
func (l *listener) connect(ctx context.Context, u string) (*http.Response, error) {
	query := ""
	if l.pool != "" {
		query = "?pool=" + url.QueryEscape(l.pool)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u+query, nil)
	if err != nil {
		return nil, &Error{Kind: Unreachable, URL: u, Err: err}
	}
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Accept", eventsType)
	if l.last != "" {
		req.Header.Set("Last-Event-ID", l.last)
	}
	resp, err := l.client.http.Do(req)
	switch {
	case err != nil && context.Cause(ctx) != nil:
		return nil, &Error{Kind: Unreachable, URL: u, Err: context.Cause(ctx)}
	case err != nil || resp.StatusCode != http.StatusOK:
		_, err = take(u, resp, err, 0)
		return nil, notLBD(err, resp)
	case resp.Header.Get("Content-Type") != eventsType:
		resp.Body.Close()
		return nil, &Error{Kind: Garbage, URL: u, Status: resp.StatusCode, Err: errors.New("no stream of events")}
	}
	return resp, nil
}

// tell hands an event to the caller. One of a kind nobody knows is passed over,
// for a newer balancer may say more.
func (l *listener) tell(m message) error {
	var e Event
	switch m.event {
	case "retry":
		l.pause = max(m.retry, time.Millisecond)
		return nil
	case eventPools:
		if err := decodeJSON([]byte(m.data), &e.Pools); err != nil {
			return fmt.Errorf("event %s: %w", m.event, err)
		}
		if e.Pools == nil {
			return fmt.Errorf("event %s: want a list", m.event)
		}
	case eventPool:
		r, err := decodeReport([]byte(m.data), l.pool)
		if err != nil {
			return fmt.Errorf("event %s: %w", m.event, err)
		}
		e.Report = &r
	case eventBGP:
		e.BGP = &BGP{}
		if err := json.Unmarshal([]byte(m.data), e.BGP); err != nil {
			return fmt.Errorf("event %s: %w", m.event, err)
		}
	case eventWarning:
		e.Warning = new(string)
		if err := json.Unmarshal([]byte(m.data), e.Warning); err != nil {
			return fmt.Errorf("event %s: %w", m.event, err)
		}
	default:
		return nil
	}
	if m.id != "" {
		l.last = m.id
	}
	l.left = !l.yield(e, nil)
	return nil
}

// message is one event as it goes over the wire.
type message struct {
	id, event, data string
	retry           time.Duration
}

// take takes in a line and tells whether it was the last of a message.
func (m *message) take(line string) bool {
	name, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch name {
	case "id":
		m.id = value
	case "event":
		m.event = value
	case "data":
		if m.data != "" {
			value = "\n" + value
		}
		m.data += value
	case "retry":
		if ms, err := strconv.ParseUint(value, 10, 24); err == nil {
			m.event, m.retry = "retry", time.Duration(ms)*time.Millisecond
		}
	}
	return line == "" && m.event != ""
}
