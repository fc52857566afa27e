package lbstatus

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// AppliedHeader carries Report.Applied beside every answer about one pool.
const AppliedHeader = "Sluice-Applied"

// MaxWait is the longest a request is held; a longer wait is cut to it.
const MaxWait = 60 * time.Second

// Summary is one pool in the list at /v1/pools.
type Summary struct {
	Pool      string `json:"pool"`
	VIP       string `json:"vip"`
	Seen      int64  `json:"seen"`
	Applied   int64  `json:"applied"`
	Announced bool   `json:"announced"`
	Stale     bool   `json:"stale"`
}

// MemberReport is one server, served at /v1/pools/NAME/HOST with the revisions
// of its pool.
type MemberReport struct {
	Pool    string `json:"pool"`
	Seen    int64  `json:"seen"`
	Applied int64  `json:"applied"`
	Member  Member `json:"member"`
}

// serveV1 answers the paths below /v1/; path is what follows "v1".
func serveV1(b *Board, path []string, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "method %s is not served here", r.Method)
		return
	}
	if n := len(path); n > 0 && path[n-1] == "" {
		path = path[:n-1] // a trailing slash
	}
	q, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		refuse(w, http.StatusBadRequest, "%v", err)
		return
	}
	switch {
	case len(path) == 1 && path[0] == "pools":
		serveSummaries(b, w)
	case len(path) == 2 && path[0] == "pools":
		servePool(b, path[1], "", q, w, r)
	case len(path) == 3 && path[0] == "pools" && path[2] != "":
		servePool(b, path[1], path[2], q, w, r)
	default:
		refuse(w, http.StatusNotFound, "no such path")
	}
}

func serveSummaries(b *Board, w http.ResponseWriter) {
	list := []Summary{}
	for _, r := range reports(b) {
		list = append(list, Summary{r.Pool, r.VIP, r.Seen, r.Applied, r.Announced, r.Source.Stale})
	}
	reply(w, http.StatusOK, list)
}

// servePool answers with the pool's report, or with one member when host is
// given, as soon as the revision asked for is applied or the wait is over.
func servePool(b *Board, pool, host string, q query, w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), q.wait)
	defer cancel()
	report, ok := b.Wait(ctx, pool, q.minRevision)
	if !ok {
		refuse(w, http.StatusNotFound, "unknown pool %q", pool)
		return
	}
	w.Header().Set(AppliedHeader, strconv.FormatInt(report.Applied, 10))
	if host == "" {
		if report.Members == nil {
			report.Members = []Member{} // readers tell "none" from "not said"
		}
		reply(w, http.StatusOK, report)
		return
	}
	m, ok := report.Member(host)
	if !ok {
		refuse(w, http.StatusNotFound, "unknown host %q in pool %q", host, pool)
		return
	}
	reply(w, http.StatusOK, MemberReport{report.Pool, report.Seen, report.Applied, m})
}

// query is what may stand behind the question mark.
type query struct {
	minRevision int64
	wait        time.Duration
}

// parseQuery refuses what it does not know: a misspelt min_revision would
// otherwise pass for an answer about that revision.
func parseQuery(raw string) (query, error) {
	var q query
	values, err := url.ParseQuery(raw)
	if err != nil {
		return q, fmt.Errorf("query: %w", err)
	}
	for name, v := range values {
		if len(v) > 1 {
			return q, fmt.Errorf("parameter %s: given %d times", name, len(v))
		}
		switch name {
		case "min_revision":
			q.minRevision, err = strconv.ParseInt(v[0], 10, 64)
			if err != nil || q.minRevision < 0 {
				return q, fmt.Errorf("parameter min_revision: want a revision, got %q", v[0])
			}
		case "wait":
			q.wait, err = time.ParseDuration(v[0])
			if err != nil || q.wait < 0 {
				return q, fmt.Errorf("parameter wait: want a duration such as 5s, got %q", v[0])
			}
		default:
			return q, fmt.Errorf("unknown parameter %q", name)
		}
	}
	if values.Has("wait") && !values.Has("min_revision") {
		return q, fmt.Errorf("parameter wait: needs min_revision")
	}
	q.wait = min(q.wait, MaxWait)
	return q, nil
}

func refuse(w http.ResponseWriter, status int, format string, args ...any) {
	reply(w, status, struct {
		Error string `json:"error"`
	}{fmt.Sprintf(format, args...)})
}

func reply(w http.ResponseWriter, status int, body any) {
	var out strings.Builder
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		// A threshold or an age that is no number; the report is at fault.
		status = http.StatusInternalServerError
		out.Reset()
		fmt.Fprintf(&out, "{\"error\": %s}\n", pythonString("encode report: "+err.Error()))
	}
	write(w, status, "application/json", out.String())
}
