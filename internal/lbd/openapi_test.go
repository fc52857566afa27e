package lbd

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	apiroutes "github.com/getkin/kin-openapi/routers"
	"github.com/google/go-cmp/cmp"

	"github.com/sluice-lb/sluice/docs"
	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

func openAPI(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData([]byte(docs.OpenAPI))
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return doc
}

// describedBoard has something in every field there is, and has seen every kind
// of change.
func describedBoard() *lbstatus.Board {
	board := lbstatus.NewBoard("web_80", "unheard")
	board.SetPools("web_80", "unheard", "broken")
	r := webReport()
	r.Source.Revisions = lbstatus.StoreRevisions
	board.Publish(r)
	r.Members = append(slices.Clone(r.Members), lbstatus.Member{Host: "cp5.example", Enabled: true, Up: lbstatus.UpNo})
	r.Announced, r.Threshold = false, .6
	for i := range 3 {
		m := &r.Members[i]
		m.Weight, m.Address, m.Up, m.Enabled, m.Pooled, m.Held = 5, "192.0.2.99:80", lbstatus.UpNo, false, !m.Pooled, !m.Held
	}
	r.Members[3].Partial, r.Members[3].Rising = true, 1
	r.LowWatermark, r.Fit = 2, 1
	board.Publish(r)
	broken := lbstatus.Report{Pool: "broken", VIP: "udp [2001:db8::1]:53", Threshold: 1, Error: "no room",
		Source: lbstatus.SourceStatus{URL: "file:///x", Revisions: lbstatus.LocalRevisions, Error: "gone"}}
	board.Publish(broken)
	board.Publish(lbstatus.Report{Pool: "unheard", Source: lbstatus.SourceStatus{Revisions: lbstatus.StoreRevisions}})
	for _, session := range []string{"established", "idle"} {
		board.PublishBGP(lbstatus.BGP{Enabled: true, LocalASN: 64600, Announced: []string{"192.0.2.1/32"}, Peers: []lbstatus.Peer{
			{Address: "192.0.2.254", ASN: 65001, Session: session, Since: time.Now(), Reason: "hold timer expired"},
			{Address: "192.0.2.253", Session: "active", Since: time.Now()},
		}})
	}
	return board
}

// described asks a running server and compares its answers with the document.
type described struct {
	t    *testing.T
	doc  *openapi3.T
	base string
	seen map[string]bool // "GET /pools 200 text/plain"
}

func (d described) ask(path, target, method, accept string, want int) {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), method, d.base+target, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	var body []byte
	if kind := resp.Header.Get("Content-Type"); kind != "text/event-stream" {
		if body, err = io.ReadAll(resp.Body); err != nil {
			d.t.Fatal(err)
		}
	}
	if resp.StatusCode != want {
		d.t.Errorf("%s %s: %d %s, want %d", method, target, resp.StatusCode, body, want)
	}
	item := d.doc.Paths.Value(path)
	route := &apiroutes.Route{Spec: d.doc, Path: path, PathItem: item, Method: http.MethodGet, Operation: item.Get}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, Route: route},
		Status:                 resp.StatusCode, Header: resp.Header,
		Body:    io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateResponse(d.t.Context(), input); err != nil {
		d.t.Errorf("%s %s %s: %v\n%s", method, target, accept, err, body)
	}
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	d.seen[fmt.Sprintf("%s %d %s", path, resp.StatusCode, kind)] = true
}

// TestOpenAPI: the document is valid, every answer it lists is one lbd gives,
// and is as the document says.
func TestOpenAPI(t *testing.T) {
	openapi3filter.RegisterBodyDecoder("text/event-stream", openapi3filter.FileBodyDecoder)
	openapi3filter.RegisterBodyDecoder("text/html", openapi3filter.FileBodyDecoder)
	openapi3filter.RegisterBodyDecoder("application/yaml", openapi3filter.FileBodyDecoder)
	const asJSON = "application/json"
	board := describedBoard()
	d := described{t: t, doc: openAPI(t), base: "http://" + serving(t, statusRoutes(board), nil), seen: map[string]bool{}}
	for path := range d.doc.Paths.Map() {
		target := strings.NewReplacer("{pool}", "web_80", "{host}", "cp2.example").Replace(path)
		d.ask(path, target, "GET", "", 200)
		d.ask(path, target, "POST", "", 405)
		if strings.HasPrefix(path, "/v1/") && path != "/v1/openapi.yaml" {
			d.ask(path, target+"?nonsense=1", "GET", "", 400)
		} else {
			d.ask(path, target, "GET", asJSON, 200)
		}
	}
	for _, pool := range []string{"unheard", "broken"} {
		d.ask("/v1/pools/{pool}", "/v1/pools/"+pool, "GET", "", 200)
		d.ask("/pools/{pool}", "/pools/"+pool, "GET", asJSON, 200)
	}
	for _, host := range []string{"cp1.example", "cp3.example", "cp4.example"} {
		d.ask("/v1/pools/{pool}/{host}", "/v1/pools/web_80/"+host+"?min_revision=1&wait=1s", "GET", "", 200)
		d.ask("/pools/{pool}/{host}", "/pools/web_80/"+host, "GET", asJSON, 200)
	}
	d.ask("/v1/pools/{pool}", "/v1/pools/x", "GET", "", 404)
	d.ask("/v1/pools/{pool}/{host}", "/v1/pools/web_80/x", "GET", "", 404)
	d.ask("/v1/events", "/v1/events?pool=x", "GET", "", 404)
	for _, accept := range []string{"", asJSON} {
		d.ask("/pools/{pool}", "/pools/x", "GET", accept, 404)
		d.ask("/pools/{pool}/{host}", "/pools/web_80/x", "GET", accept, 404)
	}
	for range 100 {
		resp, err := http.Get(d.base + "/v1/events")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
	}
	d.ask("/v1/events", "/v1/events", "GET", "", 503)

	var kinds []any
	for _, c := range board.Changes() {
		if !slices.Contains(kinds, any(c.What)) {
			kinds = append(kinds, c.What)
		}
	}
	if want := d.doc.Components.Schemas["Change"].Value.Properties["what"].Value.Enum; len(want) != len(kinds) {
		t.Errorf("changed were %v, listed are %v", kinds, want)
	}
	for path, item := range d.doc.Paths.Map() {
		for status, response := range item.Get.Responses.Map() {
			for kind := range response.Value.Content {
				if listed := fmt.Sprintf("%s %s %s", path, status, kind); !d.seen[listed] {
					t.Errorf("%s is listed, and never seen", listed)
				}
			}
		}
	}
}

// TestOpenAPIEvents are what the document says they carry.
func TestOpenAPIEvents(t *testing.T) {
	doc := openAPI(t)
	base := "http://" + serving(t, statusRoutes(describedBoard()), nil)
	for query, schemas := range map[string]map[string]string{
		"":            {"pool": "Report", "bgp": "BGP"},
		"?brief=true": {"pool": "Summary", "bgp": "BGP"},
	} {
		resp, err := http.Get(base + "/v1/events" + query)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		event, left := "", 4 // three pools and the routers
		for lines := bufio.NewScanner(resp.Body); left > 0 && lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "event":
				event = value
			case "data":
				schema, described := schemas[event]
				if !described {
					continue
				}
				left--
				var data any
				if err := json.Unmarshal([]byte(value), &data); err != nil {
					t.Fatal(err)
				}
				if err := doc.Components.Schemas[schema].Value.VisitJSON(data, openapi3.EnableJSONSchema2020()); err != nil {
					t.Errorf("%s is no %s: %v", value, schema, err)
				}
			}
		}
		if left > 0 {
			t.Errorf("%d events are missing", left)
		}
	}
}

// TestOpenAPIFields: the document lists every field lbd writes, and demands
// those that are always there.
func TestOpenAPIFields(t *testing.T) {
	doc := openAPI(t)
	for schema, v := range map[string]any{
		"Report": lbstatus.Report{}, "Source": lbstatus.SourceStatus{}, "Member": lbstatus.Member{}, "Summary": lbstatus.Summary{},
		"MemberReport": lbstatus.MemberReport{}, "BGP": lbstatus.BGP{}, "Peer": lbstatus.Peer{}, "Change": lbstatus.Change{},
	} {
		var fields, always []string
		for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
			name, omit, _ := strings.Cut(f.Tag.Get("json"), ",")
			fields = append(fields, name)
			if omit == "" {
				always = append(always, name)
			}
		}
		s := doc.Components.Schemas[schema].Value
		var listed []string
		for name := range s.Properties {
			listed = append(listed, name)
		}
		for _, list := range [][]string{fields, always, listed, s.Required} {
			slices.Sort(list)
		}
		if diff := cmp.Diff(fields, listed); diff != "" {
			t.Errorf("%s: -written +listed\n%s", schema, diff)
		}
		if diff := cmp.Diff(always, s.Required); diff != "" {
			t.Errorf("%s: -always written +required\n%s", schema, diff)
		}
	}
}

// TestOpenAPIIsServed as it is in the source.
func TestOpenAPIIsServed(t *testing.T) {
	resp, err := http.Get("http://" + serving(t, statusRoutes(lbstatus.NewBoard()), nil) + "/v1/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != docs.OpenAPI || resp.Header.Get("Server") != "lbd" {
		t.Errorf("%d bytes from %q, %v", len(body), resp.Header.Get("Server"), err)
	}
}
