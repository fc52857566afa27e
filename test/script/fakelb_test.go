package script_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// fakeLB runs a load balancer's status server with one bad habit. What every
// answer must lead to is the same: not verified.
func (w *world) fakeLB(ts *testscript.TestScript, addr, behaviour string) {
	l, err := net.Listen("tcp", addr)
	ts.Check(err)
	w.fakes = append(w.fakes, l)
	switch behaviour {
	case "reset":
		go reset(l)
		return
	case "hang":
		go hold(l) // which keeps hold: the collector would close what nobody has
		return
	}
	server := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		answer(rw, r, behaviour)
	})}
	w.fakes = append(w.fakes, server)
	go func() { _ = server.Serve(l) }()
}

// reset takes connections and resets them.
func reset(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
}

func answer(rw http.ResponseWriter, r *http.Request, behaviour string) {
	switch behaviour {
	case "500":
		http.Error(rw, "oops", http.StatusInternalServerError)
	case "404":
		http.NotFound(rw, r)
	case "garbage":
		fmt.Fprint(rw, "<html>it works</html>")
	case "pooled": // PyBal's dialect, and the server is still in
		pybal(rw, r, `{"pooled": true, "enabled": true, "up": true, "weight": 10}`)
	case "held": // PyBal's dialect: the threshold keeps it
		pybal(rw, r, `{"pooled": true, "enabled": false, "up": true, "weight": 10}`)
	case "extra": // a key too many: not PyBal's answer
		pybal(rw, r, `{"pooled": false, "enabled": false, "up": true, "weight": 10, "sure": true}`)
	case "null": // PyBal 1.15 before its first check
		pybal(rw, r, `{"pooled": null, "enabled": false, "up": null, "weight": 10}`)
	case "out": // PyBal's dialect, as wanted after a depool
		pybal(rw, r, `{"pooled": false, "enabled": false, "up": true, "weight": 10}`)
	}
}

// healthy is a server nothing is wrong with.
const healthy = `{"pooled": true, "enabled": true, "up": true, "weight": 10}`

// pybal answers for every pool, with member for be1 and healthy for the others,
// and knows nothing of /v1/.
func pybal(rw http.ResponseWriter, r *http.Request, member string) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if parts[0] != "pools" {
		http.NotFound(rw, r)
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	switch len(parts) {
	case 2:
		fmt.Fprintf(rw, `{"be1": %s, "be2": %s, "be3": %s, "be4": %s}`, member, healthy, healthy, healthy)
	case 3:
		fmt.Fprint(rw, member)
	default:
		fmt.Fprint(rw, `["web_8080"]`)
	}
}

func sorted(lines []string) string {
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

// expand replaces $NET, $ETCD, $WORK and $SITE_DATA in files.
func expand(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		text := ts.ReadFile(name)
		text = os.Expand(text, func(key string) string { return ts.Getenv(key) })
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o644))
	}
}
