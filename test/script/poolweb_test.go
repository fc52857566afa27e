package script_test

import (
	"io"
	"net"
	"net/http"
	"os"

	"github.com/rogpeppe/go-internal/testscript"
)

// poolWeb makes the web server at addr one that refuses, resets, hangs, answers
// 404, 500 or an empty body, or serves a file of the script.
func (w *world) poolWeb(ts *testscript.TestScript, addr, behaviour string) {
	for _, c := range w.webs[addr] {
		_ = c.Close()
	}
	delete(w.webs, addr)
	if behaviour == "refuse" {
		return
	}
	l, err := net.Listen("tcp", addr)
	ts.Check(err)
	if w.webs == nil {
		w.webs = map[string][]io.Closer{}
	}
	w.webs[addr] = []io.Closer{l}
	switch behaviour {
	case "reset":
		go reset(l)
		return
	case "hang":
		go hold(l)
		return
	}
	var body []byte
	if behaviour != "404" && behaviour != "500" && behaviour != "empty" {
		body, err = os.ReadFile(ts.MkAbs(behaviour))
		ts.Check(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if behaviour == "404" || behaviour == "500" {
			answer(rw, r, behaviour)
			return
		}
		_, _ = rw.Write(body)
	})}
	w.webs[addr] = append(w.webs[addr], server)
	go func() { _ = server.Serve(l) }()
}

// hold takes connections and keeps them, saying nothing.
func hold(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
	}
}
