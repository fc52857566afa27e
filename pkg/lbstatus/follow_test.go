package lbstatus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// inShort is an event in the words of the tests.
func inShort(e Event, err error) string {
	var wrong *Error
	switch {
	case errors.As(err, &wrong):
		return "error: " + string(wrong.Kind)
	case err != nil:
		return "error: " + err.Error()
	case e.Report != nil:
		return fmt.Sprintf("%s seen=%d members=%d", e.Report.Pool, e.Report.Seen, len(e.Report.Members))
	case e.Warning != nil:
		return "warning " + *e.Warning
	case e.BGP != nil:
		return fmt.Sprintf("bgp %v", e.BGP.Announced)
	}
	return fmt.Sprintf("pools %v", e.Pools)
}

// TestFollow hears everything, then each change, across a restart of the
// balancer, after which it hears everything again.
func TestFollow(t *testing.T) {
	b := NewBoard("a", "b")
	var now atomic.Pointer[http.Handler]
	install := func(b *Board) { h := Handler(b); now.Store(&h) }
	install(b)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*now.Load()).ServeHTTP(w, r) }))
	t.Cleanup(srv.Close)
	c := client(t, srv.URL)
	steps := []struct {
		want string
		then func()
	}{
		{want: "pools [a b]"}, {want: "a seen=0 members=0"},
		{"b seen=0 members=0", func() { b.Publish(Report{Pool: "b", Seen: 3, Members: []Member{{Host: "h", Up: UpNo}}}) }},
		{"b seen=3 members=1", func() { b.PublishBGP(BGP{Enabled: true, Announced: []string{"192.0.2.1/32"}}) }},
		{"bgp [192.0.2.1/32]", func() { b.Warn("stale") }}, {"warning stale", func() { b.Warn("") }},
		{"warning ", func() { install(b); srv.CloseClientConnections(); b.Publish(Report{Pool: "a", Seen: 4}) }},
		{want: "error: unreachable"},
		{"a seen=4 members=0", func() { install(NewBoard("a")); srv.CloseClientConnections() }},
		{want: "error: unreachable"}, {want: "pools [a]"}, {want: "a seen=0 members=0"},
	}
	i := 0
	for e, err := range c.Follow(t.Context(), "") {
		if got := inShort(e, err); got != steps[i].want {
			t.Fatalf("step %d: %s, want %s (%v)", i, got, steps[i].want, err)
		}
		if steps[i].then != nil {
			steps[i].then()
		}
		if i++; i == len(steps) {
			break
		}
	}
	if i != len(steps) {
		t.Errorf("ended after %d steps", i)
	}
}

// TestFollowErrors says what a line is lost by, and goes on if wanted.
func TestFollowErrors(t *testing.T) {
	sse := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", eventsType)
			fmt.Fprint(w, "retry: 1\n\n"+text)
		}
	}
	const lost = "error: unreachable"
	for name, c := range map[string]struct {
		h    http.HandlerFunc
		want []string
	}{
		"ended":          {sse(""), []string{lost, lost}},
		"unknown event":  {sse("event: later\ndata: 1\n\nevent: pools\ndata: []\n\n"), []string{"pools []", lost}},
		"cut off":        {sse("event: pools\ndata: []\n"), []string{lost, lost}},
		"over lines":     {sse("event: pools\ndata: [\ndata: \"a\"]\n\n"), []string{"pools [a]", lost}},
		"no list":        {sse("event: pools\ndata: null\n\n"), []string{"error: garbage", "error: garbage"}},
		"half a report":  {sse("event: pool\ndata: {\"pool\":\"p\"}\n\n"), []string{"error: garbage"}},
		"wrong pool":     {sse("event: pool\ndata: {\"pool\":\"q\",\"seen\":1,\"applied\":1,\"members\":[]}\n\n"), []string{"error: garbage"}},
		"odd bgp":        {sse("event: bgp\ndata: []\n\n"), []string{"error: garbage"}},
		"odd warning":    {sse("event: warning\ndata: {}\n\n"), []string{"error: garbage"}},
		"no stream":      {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "[]") }, []string{"error: garbage"}},
		"busy":           {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, []string{"error: status"}},
		"pybal":          {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, []string{"error: not lbd"}},
		"hung":           {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, []string{lost}},
		"an endless one": {func(w http.ResponseWriter, r *http.Request) { endless(w) }, []string{"error: garbage"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			follower := client(t, serve(t, c.h), WithTimeout(500*time.Millisecond))
			var got []string
			for e, err := range follower.Follow(t.Context(), "p") {
				if got = append(got, inShort(e, err)); len(got) == len(c.want) {
					break
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// endless sends one line that does not end.
func endless(w http.ResponseWriter) {
	w.Header().Set("Content-Type", eventsType)
	chunk := make([]byte, 1<<20)
	for i := range chunk {
		chunk[i] = 'x'
	}
	for range maxReport>>20 + 1 {
		w.Write(chunk)
	}
}

// TestFollowEnds with its context, without an error.
func TestFollowEnds(t *testing.T) {
	c := client(t, serve(t, Handler(NewBoard("a"))))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got []string
	for e, err := range c.Follow(ctx, "a") {
		if got = append(got, inShort(e, err)); len(got) == 2 {
			cancel()
		}
	}
	if diff := cmp.Diff([]string{"pools [a]", "a seen=0 members=0"}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// stalled answers with a stream that says nothing after its head, and less and
// less often that it is alive.
type stalled struct{}

func (stalled) RoundTrip(req *http.Request) (*http.Response, error) {
	r, w := io.Pipe()
	context.AfterFunc(req.Context(), func() { w.CloseWithError(req.Context().Err()) })
	go func() {
		for _, after := range []time.Duration{0, maxSilence - time.Second, maxSilence + time.Second} {
			if pause(req.Context(), after) {
				fmt.Fprint(w, ": alive\n\n")
			}
		}
	}()
	header := http.Header{"Content-Type": {eventsType}}
	return &http.Response{StatusCode: http.StatusOK, Header: header, Body: r, Request: req}, nil
}

// TestFollowSilence takes a line that is silent for too long for lost.
func TestFollowSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New("http://lb")
		if err != nil {
			t.Fatal(err)
		}
		c.http.Transport = stalled{}
		began := time.Now()
		for e, err := range c.Follow(t.Context(), "") {
			if got := inShort(e, err); got != "error: unreachable" {
				t.Error(got)
			}
			break
		}
		if took := time.Since(began); took != 2*maxSilence-time.Second {
			t.Errorf("took %s", took)
		}
	})
}

// FuzzEvents: whatever is in a report comes out of an event as it went in, and
// whatever comes over the wire is taken in or refused.
func FuzzEvents(f *testing.F) {
	f.Add("web_80", "cp1.example", "up", "event: pools\ndata: []\n\n")
	f.Add("a\nb", "\r\n\r\n", "id: x\n\ndata: y", "event: pool\ndata: {\ndata: }\n\nretry: 5\n\n")
	f.Add("\u2028", "\x00", "\xff", "event: bgp\ndata: {\"peers\":[{}]}\n\nid\n\n:\n\n")
	f.Fuzz(func(t *testing.T, pool, host, reason, wire string) {
		valid := func(s string) string { return strings.ToValidUTF8(s, "?") }
		b := NewBoard(valid(pool))
		b.Publish(Report{Pool: valid(pool), Members: []Member{{Host: valid(host), Up: UpNo, Reason: valid(reason)}}})
		event, err := b.event(change{at: 1, event: eventPool, pool: valid(pool)}, followed{})
		if err != nil {
			t.Fatal(err)
		}
		var got []Event
		l := listener{yield: func(e Event, _ error) bool { got = append(got, e); return true }}
		if err := l.hear(string(event)); err != nil {
			t.Fatal(err)
		}
		want, _ := b.Report(valid(pool))
		if len(got) != 1 || got[0].Report == nil || !cmp.Equal(*got[0].Report, want) {
			t.Errorf("%q became %+v", event, got)
		}
		_ = l.hear(wire)
	})
}

// hear takes in what comes over the wire.
func (l *listener) hear(wire string) error {
	var m message
	for line := range strings.SplitSeq(wire, "\n") {
		if !m.take(line) {
			continue
		}
		if err := l.tell(m); err != nil {
			return err
		}
		m = message{}
	}
	return nil
}
