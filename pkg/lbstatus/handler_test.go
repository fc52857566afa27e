package lbstatus

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a handler on loopback and returns its base URL.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

type response struct {
	Status      int
	ContentType string
	Body        string
}

// raw sends a request line as it stands, which http.Client would tidy up.
func raw(t *testing.T, base, request string, headers ...string) (response, http.Header) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	lines := append([]string{request + " HTTP/1.1", "Host: lb", "Connection: close"}, headers...)
	fmt.Fprintf(conn, "%s\r\n\r\n", strings.Join(lines, "\r\n"))
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response{resp.StatusCode, resp.Header.Get("Content-Type"), string(body)}, resp.Header
}

func sampleBoard() *Board {
	b := NewBoard("web_80", "odd", "empty")
	b.Publish(Report{
		Pool: "web_80", Seen: 12, Applied: 11, Threshold: .5,
		Members: []Member{
			{Host: "a", Weight: 10, Enabled: true, Up: UpYes, Pooled: true},
			{Host: "b", Weight: 1, Enabled: true, Up: UpNo, Partial: true},
			{Host: "c", Weight: 0, Up: UpUnknown, Pooled: true},
			{Host: "d", Weight: 5, Enabled: true, Up: UpNo},
		},
	})
	b.Publish(Report{Pool: "odd", Members: []Member{
		{Host: "q\"\\\n\x7fé😀/x", Enabled: true, Up: UpYes, Pooled: true, Weight: 3},
	}})
	return b
}

const (
	textType = "text/plain"
	jsonType = "application/json"
	jsonMiss = `{"error": "The desired url was not found"}`
)

// TestPyBalDialect is the table of PyBal's instrumentation, byte for byte.
func TestPyBalDialect(t *testing.T) {
	board := sampleBoard()
	for _, name := range board.Pools() {
		r, _ := board.Report(name)
		r.Source = SourceStatus{Heard: time.Now()}
		board.Publish(r)
	}
	base := serve(t, Handler(board))
	accept := "Accept: application/json"
	pool := "a:\tenabled/up/pooled\nb:\tenabled/partially up/not pooled\n" +
		"c:\tdisabled/partially up/pooled\nd:\tenabled/down/not pooled\n"
	poolJSON := `{"a": {"pooled": true, "enabled": true, "up": true, "weight": 10}, ` +
		`"b": {"pooled": false, "enabled": true, "up": false, "weight": 1}, ` +
		`"c": {"pooled": true, "enabled": false, "up": false, "weight": 0}, ` +
		`"d": {"pooled": false, "enabled": true, "up": false, "weight": 5}}`
	leaf := response{200, textType, "enabled/up/pooled\n"}
	miss := response{404, textType, "The desired url was not found"}
	healthy := response{200, textType, "OK - All pools are healthy"}
	for _, c := range []struct {
		request string
		headers []string
		want    response
	}{
		{"GET /pools", nil, response{200, textType, "web_80\nodd\nempty\n"}},
		{"GET /pools/", nil, response{200, textType, "web_80\nodd\nempty\n"}},
		{"GET /pools?x=y", nil, response{200, textType, "web_80\nodd\nempty\n"}},
		{"GET /pools", []string{accept}, response{200, jsonType, `["web_80", "odd", "empty"]`}},
		{"GET /pools/web_80", nil, response{200, textType, pool}},
		{"GET /pools/web_80/", nil, response{200, textType, pool}},
		{"GET /pools//web_80", nil, response{200, textType, pool}},
		{"GET /pools/web%5f80", nil, response{200, textType, pool}},
		{"GET /pools/web_80", []string{accept}, response{200, jsonType, poolJSON}},
		{"GET /pools/empty", nil, response{200, textType, ""}},
		{"GET /pools/empty", []string{accept}, response{200, jsonType, "{}"}},
		{"GET /pools/web_80/a", nil, leaf},
		{"GET /pools/web_80/a/", nil, leaf},
		{"GET /pools/web_80/a/anything/..", nil, leaf},
		{"GET /pools/web_80//a", nil, leaf},
		{"GET /pools/web_80/a", []string{accept}, response{200, jsonType, `{"pooled": true, "enabled": true, "up": true, "weight": 10}`}},
		{"GET /pools/odd", []string{accept}, response{200, jsonType,
			`{"q\"\\\n\u007f\u00e9\ud83d\ude00/x": {"pooled": true, "enabled": true, "up": true, "weight": 3}}`}},
		{"GET /pools/odd/q%22%5c%0a%7f%c3%a9%F0%9F%98%80%2fx", nil, leaf},

		{"GET /alerts", nil, healthy},
		{"GET /alerts/x", nil, healthy},
		{"GET /alerts", []string{accept}, response{200, jsonType, `{"status": "ok", "msg": "All pools are healthy"}`}},

		{"GET /pools/web_80/a", []string{"Accept: application/json;q=0.9"}, leaf},
		{"GET /pools/web_80/a", []string{"Accept: application/json, text/plain"}, leaf},
		{"GET /pools/web_80/a", []string{"Accept: Application/JSON"}, leaf},
		{"GET /pools/web_80/a", []string{"Accept: */*"}, leaf},
		{"GET /pools", []string{"Accept: text/html", accept}, response{200, jsonType, `["web_80", "odd", "empty"]`}},

		{"GET /", nil, miss},
		{"GET //pools", nil, miss},
		{"GET /pool", nil, miss},
		{"GET /Pools", nil, miss},
		{"GET /metrics", nil, miss},
		{"GET /pools/none", nil, miss},
		{"GET /pools/none/a/b", nil, miss},
		{"GET /pools/web_80/none", nil, miss},
		{"GET /pools/web_80/none", []string{accept}, response{404, jsonType, jsonMiss}},

		{"HEAD /pools/web_80", nil, response{200, textType, ""}},
		{"HEAD /none", nil, response{404, textType, ""}},
	} {
		t.Run(c.request+strings.Join(c.headers, ","), func(t *testing.T) {
			got, h := raw(t, base, c.request, c.headers...)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if h.Get("Server") != ServerName || h.Get("Content-Length") == "" {
				t.Errorf("headers: %v", h)
			}
		})
	}
}

func TestPyBalMethods(t *testing.T) {
	base := serve(t, Handler(sampleBoard()))
	for _, c := range []struct {
		request, allow string
		status         int
	}{
		{"POST /pools", "HEAD, GET", 405},
		{"POST /none", "HEAD, GET", 405},
		{"PUT /pools", "", 501},
		{"DELETE /alerts", "", 501},
	} {
		got, h := raw(t, base, c.request)
		if got.Status != c.status || h.Get("Allow") != c.allow || got.ContentType != "text/html" || !strings.HasPrefix(got.Body, "<html>") {
			t.Errorf("%s: %+v, Allow %q", c.request, got, h.Get("Allow"))
		}
	}
}

func TestAlerts(t *testing.T) {
	stuck := func(pool string, hosts ...string) Report {
		r := Report{Pool: pool}
		for _, h := range hosts {
			r.Members = append(r.Members, Member{Host: h, Enabled: true, Up: UpNo, Pooled: true})
		}
		return r
	}
	small := func(pool string, n int, threshold float64) Report {
		r := Report{Pool: pool, Threshold: threshold}
		for i := range n {
			r.Members = append(r.Members, Member{Host: fmt.Sprint(i), Enabled: true, Up: UpYes, Pooled: true})
		}
		return r
	}
	doubtful := func(pool string, source SourceStatus) Report {
		return Report{Pool: pool, Source: source, Members: []Member{{Host: "h", Enabled: true, Up: UpYes, Pooled: true}}}
	}
	disabled := Report{Pool: "x", Members: []Member{{Host: "h", Up: UpNo, Pooled: true}}}
	for _, c := range []struct {
		name       string
		reports    []Report
		text, json string
	}{
		{"critical", []Report{stuck("web", "h1", "h2"), small("s", 3, .75), stuck("db", "h3")},
			"CRITICAL - web: Servers h1, h2 are marked down but pooled; db: Servers h3 are marked down but pooled",
			`{"status": "critical", "msg": "web: Servers h1, h2 are marked down but pooled; db: Servers h3 are marked down but pooled"}`},
		{"warning", []Report{small("p", 3, .75), small("q", 2, 1)},
			"WARNING - Pool p is too small to allow depooling. Pool q is too small to allow depooling. ",
			`{"status": "warning", "msg": "Pool p is too small to allow depooling. Pool q is too small to allow depooling. "}`},
		{"under the low watermark", []Report{{Pool: "p", LowWatermark: 2, Fit: 1}, {Pool: "q", LowWatermark: 2, Fit: 2}},
			"CRITICAL - p: 1 servers fit, low watermark 2", `{"status": "critical", "msg": "p: 1 servers fit, low watermark 2"}`},
		{"stale", []Report{
			doubtful("p", SourceStatus{Stale: true, Error: "read x: refused"}),
			doubtful("q", SourceStatus{Stale: true, Age: -1}),
			doubtful("r", SourceStatus{Stale: true, Age: 7.2}),
			{Pool: "made", Source: SourceStatus{Stale: true, Heard: time.Now(), Error: "names nobody"}},
			{Pool: "dead", Source: SourceStatus{Stale: true, Error: "refused"}},
		},
			"WARNING - Pool p may be out of date: read x: refused. Pool q may be out of date: its source has not spoken yet. " +
				"Pool r may be out of date: its source is silent for 7 s. Pool dead may be out of date: refused. ",
			`{"status": "warning", "msg": "Pool p may be out of date: read x: refused. Pool q may be out of date: its source has not spoken yet. ` +
				`Pool r may be out of date: its source is silent for 7 s. Pool dead may be out of date: refused. "}`},
		{"two at one half", []Report{small("p", 2, .5)}, "OK - All pools are healthy", `{"status": "ok", "msg": "All pools are healthy"}`},
		{"one alone", []Report{small("p", 1, .5)}, "OK - All pools are healthy", `{"status": "ok", "msg": "All pools are healthy"}`},
		{"disabled", []Report{disabled}, "OK - All pools are healthy", `{"status": "ok", "msg": "All pools are healthy"}`},
		{"none", nil, "OK - All pools are healthy", `{"status": "ok", "msg": "All pools are healthy"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := alerts(c.reports, "")
			if got.text != c.text || got.json != c.json {
				t.Errorf("got %q\n%q", got.text, got.json)
			}
		})
	}
}
