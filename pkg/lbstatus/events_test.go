package lbstatus

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// streamed is the writer of a stream within a bubble; its reader may be slow.
type streamed struct {
	*io.PipeWriter
	header http.Header
	status int
}

func (s *streamed) Header() http.Header              { return s.header }
func (s *streamed) WriteHeader(status int)           { s.status = status }
func (s *streamed) Flush()                           {}
func (s *streamed) SetWriteDeadline(time.Time) error { return nil }
func (s *streamed) Write(piece []byte) (int, error)  { return s.PipeWriter.Write(piece) }
func (s *streamed) CloseWithError(err error) error   { return s.PipeWriter.CloseWithError(err) }
func pipe() (*streamed, *bufio.Reader) {
	r, w := io.Pipe()
	return &streamed{PipeWriter: w, header: http.Header{}}, bufio.NewReader(r)
}

// open follows the board within a bubble, until the test ends.
func open(t *testing.T, h http.Handler, target, lastEvent string) *bufio.Reader {
	t.Helper()
	w, r := pipe()
	ctx, cancel := context.WithCancel(t.Context())
	req := httptest.NewRequestWithContext(ctx, "GET", target, nil)
	if lastEvent != "" {
		req.Header.Set("Last-Event-ID", lastEvent)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer w.CloseWithError(io.EOF)
		h.ServeHTTP(w, req)
	}()
	t.Cleanup(func() {
		cancel()
		io.Copy(io.Discard, r)
		<-done
	})
	return r
}

// got is one event in short: "pools a b", "pool a seen=1", "bgp", ": alive".
type got struct{ id, text string }

// hear reads one event.
func hear(t *testing.T, r *bufio.Reader) got {
	t.Helper()
	var g got
	var event string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("stream ended: %v", err)
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "retry":
			g.text = "retry " + value
		case "":
			if value != "" {
				g.text = ": " + value
				continue
			}
			return g
		case "id":
			g.id = value
		case "event":
			event = value
		case "data":
			g.text = event + " " + short(t, event, value)
		}
	}
}

func short(t *testing.T, event, data string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(data), &v); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	switch v := v.(type) {
	case []any:
		return strings.Trim(fmt.Sprint(v), "[]")
	case map[string]any:
		if event == eventPool {
			return fmt.Sprintf("%v seen=%v stale=%v", v["pool"], v["seen"], staleness(v))
		}
		return fmt.Sprint(v["announced"])
	}
	return data
}

// staleness is in the report's source, or in the summary itself.
func staleness(report map[string]any) any {
	if source, ok := report["source"].(map[string]any); ok {
		return source["stale"]
	}
	return report["stale"]
}

// hearAll reads n events and returns what they say.
func hearAll(t *testing.T, r *bufio.Reader, n int) []string {
	t.Helper()
	var texts []string
	for range n {
		texts = append(texts, hear(t, r).text)
	}
	return texts
}

func wantEvents(t *testing.T, r *bufio.Reader, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, hearAll(t, r, len(want))); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// heardNow is a report whose source spoke just now.
func heardNow(pool string, seen int64) Report {
	return Report{Pool: pool, Seen: seen, Source: SourceStatus{Heard: time.Now()}}
}

// TestEvents tells everything first, then each change once; of what changes in
// a burst, the last.
func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBoard("a", "b")
		b.Publish(heardNow("b", 1))
		r := open(t, Handler(b), "/v1/events", "")
		wantEvents(t, r, "retry 2000", "pools a b", "pool a seen=0 stale=true", "pool b seen=1 stale=false")
		b.Publish(heardNow("a", 1))
		wantEvents(t, r, "pool a seen=1 stale=false")
		for i := range 1000 {
			b.Publish(heardNow("b", int64(i)))
			b.Publish(heardNow("a", 2))
		}
		b.PublishBGP(BGP{Enabled: true, Announced: []string{"192.0.2.1/32"}})
		wantEvents(t, r, "pool a seen=2 stale=false", "pool b seen=999 stale=false", "bgp [192.0.2.1/32]")
		b.SetPools("c", "b")
		wantEvents(t, r, "pools c b", "pool c seen=0 stale=true")
	})
}

// TestEventsOfSilence: a sign of life is no event, its absence is; a line
// without events shows that it is alive.
func TestEventsOfSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBoard("a")
		b.Publish(heardNow("a", 1))
		r := open(t, Handler(b), "/v1/events", "")
		wantEvents(t, r, "retry 2000", "pools a", "pool a seen=1 stale=false")
		began := time.Now()
		for range 8 {
			time.Sleep(time.Second) // of the bubble's clock
			b.Publish(heardNow("a", 1))
		}
		wantEvents(t, r, ": alive", "pool a seen=1 stale=true")
		if took := time.Since(began).Round(time.Second); took != 13*time.Second {
			t.Errorf("told to be stale after %s, want 8 s and %s", took, StaleAfter)
		}
		b.Publish(heardNow("a", 1))
		wantEvents(t, r, "pool a seen=1 stale=false", "pool a seen=1 stale=true", ": alive", ": alive")
	})
}

// TestEventsResume: who comes back with the id of the last event hears what it
// missed; with an id from elsewhere, everything.
func TestEventsResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBoard("a", "b", "c")
		h := Handler(b)
		r := open(t, h, "/v1/events", "")
		hearAll(t, r, 4)
		last := hear(t, r).id
		if last != b.LastEvent() {
			t.Errorf("last id %q, want %q", last, b.LastEvent())
		}
		b.Publish(Report{Pool: "b", Seen: 5})
		wantEvents(t, open(t, h, "/v1/events", last), "retry 2000", "pool b seen=5 stale=true")
		wantEvents(t, open(t, h, "/v1/events?last_event_id="+last, ""), "retry 2000", "pool b seen=5 stale=true")
		time.Sleep(time.Nanosecond)
		other := NewBoard("a").LastEvent()
		number := strings.TrimPrefix(last, b.epoch)
		for _, id := range []string{other, b.epoch + "-99", "x", b.epoch, b.epoch + "--1", "zz" + number, "\n"} {
			wantEvents(t, open(t, h, "/v1/events", id), "retry 2000", "pools a b c",
				"pool a seen=0 stale=true", "pool c seen=0 stale=true", "pool b seen=5 stale=true")
		}
		b.SetPools("a", "b")
		wantEvents(t, open(t, h, "/v1/events", last), "retry 2000", "pool b seen=5 stale=true", "pools a b")
	})
}

// TestEventsAnyPrefixIsEnough: wherever the line breaks, the id of the last
// event that came through leads to everything that did not.
func TestEventsAnyPrefixIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBoard("a", "b", "c")
		h := Handler(b)
		b.Publish(Report{Pool: "a", Seen: 1})
		b.SetPools("a", "b", "c", "d") // so that the list is not the oldest of all
		b.Publish(Report{Pool: "b", Seen: 2})
		const events = 5 // the list and four pools
		for cut := range events {
			known := map[string]bool{}
			take := func(text string) { known[strings.Join(strings.Fields(text)[:2], " ")] = true }
			r := open(t, h, "/v1/events", "")
			hear(t, r) // retry
			last := ""
			for range cut + 1 {
				g := hear(t, r)
				take(g.text)
				last = g.id
			}
			b.Publish(Report{Pool: "c", Seen: int64(cut) + 10})
			r = open(t, h, "/v1/events", last)
			hear(t, r)
			for len(known) < events || last != b.LastEvent() {
				g := hear(t, r)
				if g.id == "" {
					t.Fatalf("cut behind %d: nothing more comes, known are %v", cut, known)
				}
				take(g.text)
				last = g.id
			}
		}
	})
}

func TestEventsOfOnePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBoard("a", "b")
		r := open(t, Handler(b), "/v1/events?pool=b&brief=true", "")
		wantEvents(t, r, "retry 2000", "pools b", "pool b seen=0 stale=true")
		b.Publish(Report{Pool: "a", Seen: 1})
		b.PublishBGP(BGP{Enabled: true})
		b.Publish(Report{Pool: "b", Seen: 2, Members: []Member{{Host: "h"}}})
		event := ""
		for !strings.HasPrefix(event, "data: ") {
			event, _ = r.ReadString('\n')
		}
		if want := `data: {"pool":"b","vip":"","seen":2,"applied":0,"announced":false,"stale":true}` + "\n"; event != want {
			t.Errorf("brief event %q", event)
		}
		b.SetPools("a")
		r.ReadString('\n')
		wantEvents(t, r, "pools ")
	})
}

func TestEventsRefused(t *testing.T) {
	base := serve(t, Handler(NewBoard("a")))
	for request, want := range map[string]string{
		"GET /v1/events?pool=x":             `404 {"error":"unknown pool \"x\""}`,
		"GET /v1/events?pool=":              `400 {"error":"parameter pool: want the name of a pool"}`,
		"GET /v1/events?brief=so":           `400 {"error":"parameter brief: want true or false, got \"so\""}`,
		"GET /v1/events?min_revision=1":     `400 {"error":"unknown parameter \"min_revision\""}`,
		"POST /v1/events":                   `405 {"error":"method POST is not served here"}`,
		"HEAD /v1/events":                   `200 `,
		"GET /v1/pools?pool=a":              `400 {"error":"unknown parameter \"pool\""}`,
		"GET /v1/bgp/x":                     `404 {"error":"no such path"}`,
		"GET /v1/changes?pool=a&pool=b":     `400 {"error":"parameter pool: given 2 times"}`,
		"GET /v1/changes?pool=nobody":       `200 []`,
		"GET /v1/bgp":                       `200 {"enabled":false,"peers":[],"announced":[]}`,
		"GET /v1/changes?last_event_id=a-1": `400 {"error":"unknown parameter \"last_event_id\""}`,
	} {
		got, _ := raw(t, base, request)
		if text := fmt.Sprintf("%d %s", got.Status, strings.TrimSpace(got.Body)); text != want {
			t.Errorf("%s: %s, want %s", request, text, want)
		}
	}
}

// TestEventsLimit refuses one more than may follow, until another leaves.
func TestEventsLimit(t *testing.T) {
	base := serve(t, Handler(NewBoard("a")))
	var last net.Conn
	for range maxStreams {
		last, _ = followRaw(t, base)
	}
	got, h := raw(t, base, "GET /v1/events")
	if got.Status != 503 || h.Get("Retry-After") != "5" || got.Body != `{"error":"100 follow already"}`+"\n" {
		t.Errorf("one too many: %+v", got)
	}
	if got, _ := raw(t, base, "GET /v1/pools"); got.Status != 200 {
		t.Errorf("others are not served: %+v", got)
	}
	last.Close()
	until(t, "a place", func() bool {
		conn, status := followRaw(t, base)
		conn.Close()
		return status == http.StatusOK
	})
}

// followRaw opens a stream and reads no more than its status.
func followRaw(t *testing.T, base string) (net.Conn, int) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprint(conn, "GET /v1/events HTTP/1.1\r\nHost: lb\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 16), nil)
	if err != nil {
		t.Fatal(err)
	}
	return conn, resp.StatusCode
}

// until waits for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		runtime.Gosched()
	}
}

// TestEventsOutliveWriteTimeout and end with the server, at once.
func TestEventsOutliveWriteTimeout(t *testing.T) {
	b := NewBoard("a")
	srv := httptest.NewUnstartedServer(Handler(b))
	srv.Config.WriteTimeout = 50 * time.Millisecond
	srv.Config.ReadTimeout = 50 * time.Millisecond
	srv.Start()
	resp, err := http.Get(srv.URL + "/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	r := bufio.NewReader(resp.Body)
	hearAll(t, r, 3)
	began := time.Now()
	for i := int64(1); time.Since(began) < 4*srv.Config.WriteTimeout; i++ {
		b.Publish(heardNow("a", i))
		wantEvents(t, r, fmt.Sprintf("pool a seen=%d stale=false", i))
	}
	began = time.Now()
	srv.Config.Close()
	if _, err := io.ReadAll(r); err == nil {
		t.Error("the stream ended as if it were complete")
	}
	srv.Close() // waits for the handler
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the stream ended after %s", took)
	}
}

// TestEventsSlowFollower reads nothing at all, while large reports change all
// the time: others hear on, and nothing is kept for it.
func TestEventsSlowFollower(t *testing.T) {
	b := NewBoard("big")
	report := func(seen int64) Report {
		r := heardNow("big", seen)
		for i := range 2000 {
			r.Members = append(r.Members, Member{Host: fmt.Sprintf("host%04d.example", i), Reason: strings.Repeat("x", 200)})
		}
		return r
	}
	base := serve(t, Handler(b))
	for range 20 {
		followRaw(t, base)
	}
	resp, err := http.Get(base + "/v1/events?brief=true")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	r := bufio.NewReader(resp.Body)
	hearAll(t, r, 3)
	var before, after runtime.MemStats
	for i := range int64(20) {
		b.Publish(report(i + 1))
		wantEvents(t, r, fmt.Sprintf("pool big seen=%d stale=false", i+1))
		if i == 5 { // by now all the others are stuck
			runtime.GC()
			runtime.ReadMemStats(&before)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 16<<20 {
		t.Errorf("%d MB more are held for followers that do not read", grown>>20)
	}
}
