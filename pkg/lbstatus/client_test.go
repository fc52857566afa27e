package lbstatus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func client(t *testing.T, base string, opts ...Option) *Client {
	t.Helper()
	c, err := New(base, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestClientReport(t *testing.T) {
	b := sampleBoard()
	c := client(t, serve(t, Handler(b)))
	got, err := c.Report(t.Context(), "web_80", 11, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := b.Report("web_80")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// One that is behind is an answer all the same.
	if got, err = c.Report(t.Context(), "web_80", 99, time.Millisecond); err != nil || got.Applied != 11 {
		t.Errorf("got %v, %v", got.Applied, err)
	}
	if _, err := c.Report(t.Context(), "empty", 0, 0); err != nil {
		t.Error(err)
	}
}

func TestClientLargeReport(t *testing.T) {
	b := NewBoard("big")
	r := Report{Pool: "big", Seen: math.MaxInt64, Applied: math.MaxInt64}
	for i := range 10_000 {
		r.Members = append(r.Members, Member{
			Host: fmt.Sprintf("a-rather-long-name-%05d.some-site.example.org", i), Address: "[2001:db8:1234:5678:9abc:def0:1234:5678]:65535",
			Enabled: true, Up: UpNo, Pooled: true, Health: strings.Repeat("x", 100), Reason: "held by threshold", Connections: math.MaxInt32, Revision: math.MaxInt64,
		})
	}
	b.Publish(r)
	c := client(t, serve(t, Handler(b)))
	got, err := c.Report(t.Context(), "big", 0, 0)
	if err != nil || len(got.Members) != 10_000 {
		t.Errorf("%d members, %v", len(got.Members), err)
	}
	servers, err := c.PyBalPool(t.Context(), "big")
	if err != nil || len(servers) != 10_000 {
		t.Errorf("%d servers, %v", len(servers), err)
	}
}

func TestClientPyBal(t *testing.T) {
	c := client(t, serve(t, Handler(sampleBoard())))
	got, err := c.PyBal(t.Context(), "web_80", "a", Poll{}, nil)
	if diff := cmp.Diff(ServerState{Pooled: true, Enabled: true, Up: true, Weight: 10}, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	odd, err := c.PyBalPool(t.Context(), "odd")
	if diff := cmp.Diff(map[string]ServerState{"q\"\\\n\x7fé😀/x": {Pooled: true, Enabled: true, Up: true, Weight: 3}}, odd); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if _, err := c.PyBal(t.Context(), "odd", "q\"\\\n\x7fé😀/x", Poll{}, nil); err != nil {
		t.Error(err)
	}
}

// TestClientPolls asks until the answer is liked, and no longer than told.
func TestClientPolls(t *testing.T) {
	asked := 0
	base := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		switch asked {
		case 1:
			http.Error(w, "busy", http.StatusServiceUnavailable)
		case 2:
			fmt.Fprint(w, "what?")
		default:
			fmt.Fprintf(w, `{"pooled": %t, "enabled": false, "up": true, "weight": 1}`, asked < 4)
		}
	}))
	c := client(t, base)
	var seen []string
	poll := Poll{Attempts: 9, Pause: time.Millisecond}
	got, err := c.PyBal(t.Context(), "p", "h", poll, func(s ServerState, err error) bool {
		var e *Error
		if errors.As(err, &e) {
			seen = append(seen, string(e.Kind))
			return false
		}
		seen = append(seen, s.String())
		return !s.Pooled
	})
	if err != nil || got.Pooled || asked != 4 {
		t.Errorf("got %+v, %v after %d", got, err, asked)
	}
	want := []string{"status", "garbage", "disabled/up/pooled", "disabled/up/not pooled"}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
	asked = 2
	_, _ = c.PyBal(t.Context(), "p", "h", Poll{Attempts: 3, Pause: time.Millisecond}, func(ServerState, error) bool { return false })
	if asked != 5 {
		t.Errorf("asked %d times, want 3", asked-2)
	}
}

// TestClientErrors tells the ways apart in which a balancer gives no answer.
func TestClientErrors(t *testing.T) {
	answer := func(status int, server, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Server", server)
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	for _, c := range []struct {
		name string
		h    http.HandlerFunc
		kind Kind
		want string
	}{
		{"pybal", answer(404, "TwistedWeb/20.3.0", notFoundText), NotLBD, "not an lbd"},
		{"unknown pool", answer(404, "lbd", `{"error":"unknown pool \"p\""}`), BadStatus, `HTTP status 404: unknown pool "p"`},
		{"trouble", answer(500, "lbd", "<html>oh</html>"), BadStatus, "HTTP status 500"},
		{"trouble in words", answer(500, "", "try\x1b later"), BadStatus, "HTTP status 500: try. later"},
		{"redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/v1/pools/q", http.StatusFound) }, BadStatus, "302"},
		{"no JSON", answer(200, "lbd", "OK"), Garbage, "invalid character"},
		{"two values", answer(200, "lbd", `{"pool":"p","seen":1,"applied":1,"members":[]} x`), Garbage, "more behind"},
		{"wrong pool", answer(200, "lbd", `{"pool":"q","seen":1,"applied":1,"members":[]}`), Garbage, `about pool "q"`},
		{"no members", answer(200, "lbd", `{"pool":"p","seen":1,"applied":1,"members":null}`), Garbage, "without"},
		{"applied ahead", answer(200, "lbd", `{"pool":"p","seen":1,"applied":2,"members":[]}`), Garbage, "applied 2 but seen 1"},
		{"half a member", answer(200, "lbd", `{"pool":"p","seen":1,"applied":1,"members":[{"host":"h","enabled":false,"up":"up"}]}`), Garbage, "member 0 without"},
		{"odd health", answer(200, "lbd", `{"pool":"p","seen":1,"applied":1,"members":[{"host":"h","enabled":false,"up":"so-so","pooled":false}]}`), Garbage, "so-so"},
		{"twice", answer(200, "lbd", `{"pool":"p","seen":1,"applied":1,"members":[{"host":"h","enabled":false,"up":"up","pooled":false},{"host":"h","enabled":true,"up":"up","pooled":true}]}`), Garbage, "listed twice"},
		{"hung", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, Unreachable, "deadline exceeded"},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, `{"pool":"p"`)
		}, Unreachable, "unexpected EOF"},
		{"huge", func(w http.ResponseWriter, _ *http.Request) {
			chunk := bytes.Repeat([]byte(" "), 1<<20)
			for range maxReport>>20 + 1 {
				w.Write(chunk)
			}
		}, Garbage, "more than 8388608 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			timeout := 5 * time.Second
			if c.name == "hung" {
				timeout = 50 * time.Millisecond
			}
			wantError(t, client(t, serve(t, c.h), WithTimeout(timeout)), c.kind, c.want)
		})
	}
}

func TestClientUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	wantError(t, client(t, "http://"+l.Addr().String()), Unreachable, "connection refused")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = client(t, "http://"+l.Addr().String()).PyBal(ctx, "p", "h", Poll{Attempts: 5, Pause: time.Hour}, nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func wantError(t *testing.T, c *Client, kind Kind, want string) {
	t.Helper()
	_, err := c.Report(t.Context(), "p", 1, time.Millisecond)
	var e *Error
	if !errors.As(err, &e) || e.Kind != kind || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s: %s", err, kind, want)
	}
}

func TestNewRefusesOddURLs(t *testing.T) {
	for _, u := range []string{"", "lvs1:9090", "ftp://lvs1", "http://", "http://a/?x", "http://a/#x", "http://[::1"} {
		if _, err := New(u); err == nil {
			t.Errorf("%q was taken", u)
		}
	}
}
