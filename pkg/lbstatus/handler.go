package lbstatus

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// ServerName is the Server header of every answer of Handler. It tells our
// balancer from PyBal ("TwistedWeb/…"), whose 404 to /v1/ looks much the same.
const ServerName = "lbd"

// Handler serves the board: PyBal's dialect at /pools and /alerts, byte for
// byte, and our own under /v1/. It routes by itself because PyBal's rules (the
// empty path segment, names in percent escapes) are not those of a ServeMux;
// a caller that puts it behind one must keep the mux from cleaning paths. Every
// other path, /metrics too, is answered with PyBal's 404.
func Handler(b *Board) http.Handler {
	s := &server{board: b, streams: make(chan struct{}, maxStreams)}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", ServerName)
		path := segments(r.URL)
		if path[0] == "v1" {
			s.serveV1(path[1:], w, r)
			return
		}
		servePyBal(b, path, w, r)
	})
}

// server is the handler of /v1.
type server struct {
	board   *Board
	streams chan struct{} // holds one entry for each that follows
}

// segments splits the path behind its first slash and decodes each part. There
// is always at least one.
func segments(u *url.URL) []string {
	parts := strings.Split(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
	for i, p := range parts {
		if decoded, err := url.PathUnescape(p); err == nil {
			parts[i] = decoded
		}
	}
	return parts
}

func servePyBal(b *Board, path []string, w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodPost:
		w.Header().Set("Allow", "HEAD, GET")
		write(w, http.StatusMethodNotAllowed, "text/html", "<html><body><h1>405 Method Not Allowed</h1></body></html>\n")
		return
	default:
		write(w, http.StatusNotImplemented, "text/html", "<html><body><h1>501 Not Implemented</h1></body></html>\n")
		return
	}
	a := route(b, path)
	if slices.Contains(r.Header.Values("Accept"), "application/json") {
		write(w, a.status, "application/json", a.json)
		return
	}
	write(w, a.status, "text/plain", a.text)
}

// route finds the answer to a path. Below /pools, empty segments lead nowhere
// and are passed over; a server and /alerts are leaves that swallow the rest.
func route(b *Board, path []string) answer {
	switch path[0] {
	case "alerts":
		return alerts(b.Reports(), b.Warning())
	case "pools":
		return routePools(b, slices.DeleteFunc(path[1:], func(s string) bool { return s == "" }))
	}
	return notFound()
}

func routePools(b *Board, path []string) answer {
	if len(path) == 0 {
		return poolNames(b.Pools())
	}
	report, ok := b.Report(path[0])
	if !ok {
		return notFound()
	}
	if len(path) == 1 {
		return poolState(report)
	}
	m, ok := report.Member(path[1])
	if !ok {
		return notFound()
	}
	return memberState(m)
}

// write sends a whole answer at once; net/http adds Content-Length to a body
// this way only when it is small, so it is set here.
func write(w http.ResponseWriter, status int, contentType, body string) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	io.WriteString(w, body) // an asker that has gone away is no trouble of ours
}
