package lbstatus

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
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
func (s *server) serveV1(path []string, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "method %s is not served here", r.Method)
		return
	}
	if n := len(path); n > 0 && path[n-1] == "" {
		path = path[:n-1] // a trailing slash
	}
	serve, parameters := s.routeV1(path)
	if serve == nil {
		refuse(w, http.StatusNotFound, "no such path")
		return
	}
	q, err := parseQuery(r.URL.RawQuery, parameters)
	if err != nil {
		refuse(w, http.StatusBadRequest, "%v", err)
		return
	}
	serve(q, w, r)
}

// routeV1 returns what answers a path and the parameters that path has, or nil.
func (s *server) routeV1(path []string) (serve func(query, http.ResponseWriter, *http.Request), parameters []string) {
	waiting := []string{"min_revision", "wait"}
	switch {
	case len(path) == 1:
		switch path[0] {
		case "pools":
			return s.serveSummaries, nil
		case "bgp":
			return s.serveBGP, nil
		case "changes":
			return s.serveChanges, []string{"pool"}
		case "events":
			return s.serveEvents, []string{"pool", "brief", "last_event_id"}
		}
	case len(path) == 2 && path[0] == "pools":
		return func(q query, w http.ResponseWriter, r *http.Request) { servePool(s.board, path[1], "", q, w, r) }, waiting
	case len(path) == 3 && path[0] == "pools" && path[2] != "":
		return func(q query, w http.ResponseWriter, r *http.Request) { servePool(s.board, path[1], path[2], q, w, r) }, waiting
	}
	return nil, nil
}

func (s *server) serveSummaries(_ query, w http.ResponseWriter, _ *http.Request) {
	list := []Summary{}
	for _, r := range s.board.Reports() {
		list = append(list, r.summary())
	}
	reply(w, http.StatusOK, list)
}

func (s *server) serveBGP(_ query, w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, s.board.BGP())
}

// serveChanges answers with the last changes; those of a pool that is gone are
// still there to be asked for.
func (s *server) serveChanges(q query, w http.ResponseWriter, _ *http.Request) {
	list := []Change{}
	for _, c := range s.board.Changes() {
		if q.pool == "" || c.Pool == q.pool {
			list = append(list, c)
		}
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
		reply(w, http.StatusOK, report.complete())
		return
	}
	m, ok := report.Member(host)
	if !ok {
		refuse(w, http.StatusNotFound, "unknown host %q in pool %q", host, pool)
		return
	}
	reply(w, http.StatusOK, MemberReport{report.Pool, report.Seen, report.Applied, m})
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
