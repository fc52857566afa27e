package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// The toy servers are restarted from outside by a program called toyctl, a link
// to this one, as systemctl would be: "toyctl restart UNIT". It finds the
// sandbox through a file beside its directory.
const (
	controlProgram = "toyctl"
	controlFile    = "control"
)

// toys are the toy servers and the door through which they are restarted.
type toys struct {
	servers map[string]*toy // by unit
	control net.Listener
}

// toy is one web server that says who it is and how often it was started.
type toy struct {
	toyServer
	mu     sync.Mutex
	starts int
	server *http.Server
}

func startToys(p plan) (*toys, error) {
	control, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	ts := &toys{servers: map[string]*toy{}, control: control}
	for _, s := range p.toys {
		t := &toy{toyServer: s}
		ts.servers[s.unit] = t
		if err := t.start(); err != nil {
			ts.close()
			return nil, fmt.Errorf("toy server %s: %w", s.host, err)
		}
	}
	go func() { _ = http.Serve(control, http.HandlerFunc(ts.restart)) }()
	return ts, nil
}

func (ts *toys) controlURL() string { return "http://" + ts.control.Addr().String() }

func (ts *toys) close() {
	_ = ts.control.Close()
	for _, t := range ts.servers {
		t.stop()
	}
}

// restart answers POST /restart?unit=NAME.service.
func (ts *toys) restart(w http.ResponseWriter, r *http.Request) {
	unit := strings.TrimSuffix(r.FormValue("unit"), ".service")
	t, ok := ts.servers[unit]
	if !ok {
		http.Error(w, fmt.Sprintf("no unit %q", unit), http.StatusNotFound)
		return
	}
	t.stop()
	if err := t.start(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (t *toy) start() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", t.ip, toyPort))
	if err != nil {
		return err
	}
	t.starts++
	answer := fmt.Sprintf("%s, start %d\n", t.host, t.starts)
	t.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, answer)
	})}
	go func(s *http.Server) { _ = s.Serve(l) }(t.server)
	return nil
}

func (t *toy) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.server != nil {
		_ = t.server.Close()
	}
}

// control is the program toyctl.
func control(args []string, stdout, stderr io.Writer) int {
	if err := ask(args); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", controlProgram, err)
		return 1
	}
	fmt.Fprintf(stdout, "restarted %s\n", args[2])
	return 0
}

func ask(args []string) error {
	if len(args) != 3 || args[1] != "restart" {
		return errors.New("usage: toyctl restart UNIT")
	}
	file := filepath.Join(filepath.Dir(filepath.Dir(args[0])), controlFile)
	base, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("find the sandbox: %w", err)
	}
	resp, err := http.PostForm(strings.TrimSpace(string(base))+"/restart", map[string][]string{"unit": {args[2]}})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return errors.New(strings.TrimSpace(string(text)))
	}
	return nil
}
