package lbstatus

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"net/http/httptest"

	"github.com/google/go-cmp/cmp"
)

func TestV1(t *testing.T) {
	base := serve(t, Handler(sampleBoard()))
	for _, c := range []struct {
		request string
		status  int
		want    string // within the body
		applied string
	}{
		{"GET /v1/pools", 200, `[{"pool":"web_80","vip":"","seen":12,"applied":11,"announced":false,"stale":true},`, ""},
		{"GET /v1/pools/", 200, `{"pool":"empty"`, ""},
		{"GET /v1/pools/web_80", 200, `{"pool":"web_80","vip":"","seen":12,"applied":11,`, "11"},
		{"GET /v1/pools/empty", 200, `"members":[]`, "0"},
		{"GET /v1/pools/web_80/c", 200, `{"pool":"web_80","seen":12,"applied":11,"member":{"host":"c","weight":0,"enabled":false,"up":"unknown","pooled":true,`, "11"},
		{"GET /v1/pools/web_80?min_revision=11&wait=1h", 200, `"applied":11`, "11"},
		{"GET /v1/pools/web_80?min_revision=12", 200, `"applied":11`, "11"},
		{"GET /v1/pools/x", 404, `{"error":"unknown pool \"x\""}` + "\n", ""},
		{"GET /v1/pools/web_80/x", 404, `{"error":"unknown host \"x\" in pool \"web_80\""}` + "\n", "11"},
		{"GET /v1", 404, `{"error":"no such path"}` + "\n", ""},
		{"GET /v1/pools/web_80/c/d", 404, `{"error":"no such path"}` + "\n", ""},
		{"GET /v1/pools/web_80?min_revision=x", 400, `{"error":"parameter min_revision: want a revision, got \"x\""}` + "\n", ""},
		{"GET /v1/pools/web_80?min_revision=-1", 400, `want a revision`, ""},
		{"GET /v1/pools/web_80?min_revision=1&wait=5", 400, `{"error":"parameter wait: want a duration such as 5s, got \"5\""}` + "\n", ""},
		{"GET /v1/pools/web_80?min_revision=1&wait=-5s", 400, `want a duration`, ""},
		{"GET /v1/pools/web_80?wait=5s", 400, `{"error":"parameter wait: needs min_revision"}` + "\n", ""},
		{"GET /v1/pools/web_80?minrevision=5", 400, `{"error":"unknown parameter \"minrevision\""}` + "\n", ""},
		{"GET /v1/pools/web_80?min_revision=5&min_revision=6", 400, `given 2 times`, ""},
		{"POST /v1/pools", 405, `{"error":"method POST is not served here"}` + "\n", ""},
		{"HEAD /v1/pools", 200, "", ""},
	} {
		t.Run(c.request, func(t *testing.T) {
			got, h := raw(t, base, c.request)
			if got.Status != c.status || !strings.Contains(got.Body, c.want) {
				t.Errorf("got %d %s", got.Status, got.Body)
			}
			want := map[string]string{"Server": "lbd", "Cache-Control": "no-store", "Content-Type": jsonType, AppliedHeader: c.applied}
			for name, value := range want {
				if h.Get(name) != value {
					t.Errorf("%s: %q, want %q", name, h.Get(name), value)
				}
			}
		})
	}
}

// TestV1Wait holds a request until its revision is applied or the wait ends.
func TestV1Wait(t *testing.T) {
	for _, c := range []struct {
		name, query string
		publish     time.Duration // when revision 15 is applied; 0 is never
		leave       time.Duration // when the asker goes away; 0 is never
		took        time.Duration
		applied     string
	}{
		{"applied in time", "?min_revision=15&wait=5s", 2 * time.Second, 0, 2 * time.Second, "15"},
		{"too late", "?min_revision=15&wait=5s", 0, 0, 5 * time.Second, "11"},
		{"wait is capped", "?min_revision=15&wait=2h", 0, 0, MaxWait, "11"},
		{"asker leaves", "?min_revision=15&wait=5s", 0, time.Second, time.Second, "11"},
		{"applied already", "?min_revision=11&wait=5s", 0, 0, 0, "11"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := sampleBoard()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.publish > 0 {
					time.AfterFunc(c.publish/2, func() { b.Publish(Report{Pool: "web_80", Seen: 14, Applied: 14}) })
					time.AfterFunc(c.publish, func() { b.Publish(Report{Pool: "web_80", Seen: 15, Applied: 15}) })
				}
				if c.leave > 0 {
					time.AfterFunc(c.leave, cancel)
				}
				began := time.Now()
				rec := httptest.NewRecorder()
				Handler(b).ServeHTTP(rec, httptest.NewRequestWithContext(ctx, "GET", "/v1/pools/web_80"+c.query, nil))
				got := []any{rec.Code, rec.Header().Get(AppliedHeader), time.Since(began)}
				if diff := cmp.Diff([]any{200, c.applied, c.took}, got); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}
