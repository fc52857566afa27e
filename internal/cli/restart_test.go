package cli

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sluice-lb/sluice/internal/devetcd"
	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// restartSite is one host, h1, in the pool web, with a real store, a balancer
// that speaks PyBal's dialect of whatever the store says, and a program that
// restarts things.
type restartSite struct {
	*testing.T
	store    *state.Store
	config   string
	dir      string
	catalog  string
	program  string
	stderr   bytes.Buffer
	asked    atomic.Int32
	lateness int32 // how many questions behind the store the balancer is
	held     bool  // the balancer keeps disabled servers
	dead     bool  // the balancer answers 500
	onAsk    func()
}

func newRestartSite(t *testing.T) *restartSite {
	t.Helper()
	etcd, err := devetcd.Start(devetcd.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = etcd.Close() })
	store, err := state.Open(state.Config{Endpoints: []string{etcd.Endpoint()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	s := &restartSite{T: t, store: store, dir: t.TempDir()}
	lb := httptest.NewServer(http.HandlerFunc(s.pybal))
	t.Cleanup(lb.Close)
	s.config = s.file("config.yaml", "endpoints: ["+etcd.Endpoint()+"]\n")
	s.catalog = s.file("catalog.yaml", fmt.Sprintf("web:\n  cluster: c\n  service: nginx\n  port: 80\n  servers: [%q]\n",
		strings.TrimPrefix(lb.URL, "http://")))
	s.restarts(0)
	for _, host := range []string{"h1", "h2"} {
		o := objects.Object{Type: objects.Node(), Key: objects.Key{Tags: "dc1/c/nginx", Name: host}}
		_, err := store.Update(t.Context(), state.Audit{}, []state.Mutation{{
			Verb: state.Create, Object: o, Set: []objects.Setting{{Field: "pooled", Value: "yes"}, {Field: "weight", Value: 1}},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *restartSite) file(name, content string) string {
	s.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		s.Fatal(err)
	}
	return path
}

// restarts makes the program write down its arguments and exit with a code.
func (s *restartSite) restarts(code int) {
	s.Helper()
	s.program = s.file("restarter", fmt.Sprintf("#!/bin/sh\necho \"$@\" >>%q\nexit %d\n", filepath.Join(s.dir, "restarted"), code))
}

func (s *restartSite) restarted() string {
	data, err := os.ReadFile(filepath.Join(s.dir, "restarted"))
	if err != nil && !os.IsNotExist(err) {
		s.Fatal(err)
	}
	return string(data)
}

// pybal answers as PyBal would for what is stored now.
func (s *restartSite) pybal(w http.ResponseWriter, r *http.Request) {
	switch {
	case s.dead:
		http.Error(w, "oh", http.StatusInternalServerError)
	case r.URL.Path == "/pools/web_80":
		fmt.Fprintf(w, `{"h1": %s, "h2": %s}`, pybalJSON(s.pooled("h1") == "yes", false), pybalJSON(true, false))
	case r.URL.Path == "/pools/web_80/h1":
		if s.onAsk != nil {
			s.onAsk()
		}
		enabled := s.pooled("h1") == "yes"
		if s.asked.Add(1) <= s.lateness {
			enabled = !enabled
		}
		fmt.Fprint(w, pybalJSON(enabled, s.held))
	default:
		http.NotFound(w, r)
	}
}

func pybalJSON(enabled, held bool) string {
	return fmt.Sprintf(`{"pooled": %t, "enabled": %t, "up": true, "weight": 1}`, enabled || held, enabled)
}

// set writes as somebody else would.
func (s *restartSite) set(pooled string) {
	s.Helper()
	_, err := s.store.Update(s.Context(), state.Audit{}, []state.Mutation{{
		Object: s.object("h1"), Set: []objects.Setting{{Field: "pooled", Value: pooled}},
	}})
	if err != nil {
		s.Fatal(err)
	}
}

func (s *restartSite) object(host string) objects.Object {
	sel, err := objects.Node().SelectExact(map[string]string{"name": host})
	if err != nil {
		s.Error(err)
	}
	list, err := s.store.List(context.Background(), objects.Node(), sel)
	if err != nil || len(list.Objects) != 1 {
		s.Errorf("%v, %v", list, err)
		return objects.Object{}
	}
	return list.Objects[0]
}

func (s *restartSite) pooled(host string) any {
	v, err := s.object(host).Value("pooled")
	if err != nil {
		s.Error(err)
	}
	return v
}

// run runs the program with these arguments besides those of the site.
func (s *restartSite) run(ctx context.Context, args string) int {
	s.Helper()
	s.stderr.Reset()
	all := []string{
		"--config", s.config, "--catalog", s.catalog, "--dc", "dc1", "--hostname", "h1", "--restart-command", s.program,
		"--wait", "0.01", "--grace-period", "0", "--timeout", "1",
	}
	code := RestartService(ctx, Env{
		Args:     append(all, strings.Fields(args)...),
		Stdout:   s.Output(),
		Stderr:   &s.stderr,
		Getenv:   func(string) string { return "" },
		Hostname: func() (string, error) { return "h1", nil },
	})
	s.Logf("%s: exit %d\n%s", args, code, &s.stderr)
	return code
}

func (s *restartSite) want(code, wantCode int, pooled, restarted, text string) {
	s.Helper()
	if code != wantCode {
		s.Errorf("exit %d, want %d", code, wantCode)
	}
	if got := s.pooled("h1"); got != pooled {
		s.Errorf("pooled=%v, want %s", got, pooled)
	}
	if got := s.restarted(); got != restarted {
		s.Errorf("restarted %q, want %q", got, restarted)
	}
	if !strings.Contains(s.stderr.String(), text) {
		s.Errorf("stderr lacks %q", text)
	}
}

func TestRestartService(t *testing.T) {
	const restarts = "--pools web --services nginx php.socket"
	const done = "restart nginx.service\nrestart php.socket\n"
	for _, c := range []struct {
		name      string
		prepare   func(*restartSite)
		args      string
		code      int
		pooled    string
		restarted string
		text      string
	}{
		{"restart", nil, restarts, 0, "yes", done, "[INFO] repooling h1"},
		{"balancer is late", func(s *restartSite) { s.lateness = 2 }, restarts, 0, "yes", done,
			"[WARNING] 127.0.0.1:"},
		{"balancer is too late", func(s *restartSite) { s.lateness = 5 }, restarts, 127, "no", "", "left pooled=no: dc1/c/nginx/h1"},
		{"more patience", func(s *restartSite) { s.lateness = 5 }, restarts + " --retries 6", 0, "yes", done, ""},
		{"held by threshold", func(s *restartSite) { s.held = true }, restarts, 127, "no", "",
			"want disabled/*/not pooled, got disabled/up/pooled; left pooled=no: dc1/c/nginx/h1; nothing was restarted"},
		{"balancer in trouble", func(s *restartSite) { s.dead = true }, restarts, 127, "yes", "", "nothing was written"},
		{"service fails", func(s *restartSite) { s.restarts(5) }, restarts, 5, "no", done, "not repooled; left pooled=no: dc1/c/nginx/h1"},
		{"depooled before", func(s *restartSite) { s.set("no") }, restarts, 0, "no", done, "pooled nowhere: restarting directly"},
		{"depooled, fails", func(s *restartSite) { s.set("no"); s.restarts(7) }, restarts, 7, "no", done, ""},
		{"forced", func(s *restartSite) { s.dead = true }, "--services nginx php.socket --force", 0, "yes", done, "forced"},
		{"forced, fails", func(s *restartSite) { s.restarts(3) }, "--services nginx php.socket --force", 3, "yes", done, ""},

		{"depool", nil, "--pools web --depool --retries 10 --wait 5", 0, "no", "", "confirmed by every balancer"},
		{"depool again", func(s *restartSite) { s.set("no") }, "--pools web --depool", 0, "no", "", "already depooled"},
		{"pool", func(s *restartSite) { s.set("no") }, "--pools web --pool", 0, "yes", "", "confirmed by every balancer"},
		{"pool inactive", func(s *restartSite) { s.set("inactive") }, "--pools web --pool", 0, "inactive", "", "no service to pool"},
		{"depool inactive", func(s *restartSite) { s.set("inactive") }, "--pools web --depool", 0, "inactive", "", "already depooled"},
		{"pool, balancer late", func(s *restartSite) { s.set("no"); s.lateness = 9 }, "--pools web --pool", 127, "yes", "", "left pooled=yes"},

		{"unknown pool", nil, "--pools web wbe --services nginx", 2, "yes", "", `has no pool "wbe"`},
		{"no pools", nil, "--services nginx", 2, "yes", "", "--pools is missing"},
		{"no mode", nil, "--pools web", 2, "yes", "", "want exactly one of"},
		{"two modes", nil, "--pools web --pool --depool", 2, "yes", "", "want exactly one of"},
		{"forced depool", nil, "--pools web --depool --force", 2, "yes", "", "--force goes with --services"},
		{"empty list", nil, "--depool --pools", 2, "yes", "", "at least one value"},
		{"unknown flag", nil, "--pools web --depol", 2, "yes", "", "unknown flag"},
		{"odd wait", nil, "--pools web --depool --wait soon", 2, "yes", "", "want seconds"},
		{"no retries", nil, "--pools web --depool --retries 0", 2, "yes", "", "--retries"},
		{"stray argument", nil, "--pools=web depool --depool", 2, "yes", "", `unexpected argument "depool"`},
		{"no catalog", nil, "--pools web --depool --catalog /nonexistent", 1, "yes", "", "read catalog /nonexistent: no such file"},
		{"no config", nil, "--pools web --depool --config /nonexistent", 1, "yes", "", "read config /nonexistent"},
		{"unknown type", nil, "--pools web --depool --object-type nodes", 1, "yes", "", `"nodes"`},
		{"bad type", nil, "--pools web --depool --object-type service", 1, "yes", "", "restart-service: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newRestartSite(t)
			if c.prepare != nil {
				c.prepare(s)
			}
			s.want(s.run(t.Context(), c.args), c.code, c.pooled, c.restarted, c.text)
		})
	}
}

func TestRestartServiceInterrupted(t *testing.T) {
	s := newRestartSite(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.held = true
	s.onAsk = cancel
	s.want(s.run(ctx, "--pools web --services nginx --wait 60"), 130, "no", "", "left pooled=no: dc1/c/nginx/h1")
}

func TestRestartServiceHelp(t *testing.T) {
	var out bytes.Buffer
	code := RestartService(t.Context(), Env{Args: []string{"--help"}, Stdout: &out, Stderr: t.Output()})
	if code != 0 || !strings.Contains(out.String(), "--ignore-headroom") || !strings.Contains(out.String(), "Exit codes:") {
		t.Errorf("exit %d\n%s", code, &out)
	}
	t.Log(out.String())
}

// A restart leaves a pool what is agreed upon for it, whatever balancers say.
func TestRestartKeepsTheFloor(t *testing.T) {
	s := newRestartSite(t)
	schema, err := objects.ParseSchema([]byte("pool: {path: pool-settings, tags: [dc, cluster], schema: {min_pooled: {type: int, default: 0}}}\n"), "schema.yaml")
	if err != nil {
		t.Fatal(err)
	}
	pool, _ := schema.Type("pool")
	if _, err := s.store.Update(t.Context(), state.Audit{}, []state.Mutation{{
		Verb: state.Create, Object: objects.Object{Type: pool, Key: objects.Key{Tags: "dc1/c", Name: "nginx"}}, Set: []objects.Setting{{Field: "min_pooled", Value: 2}},
	}}); err != nil {
		t.Fatal(err)
	}
	s.want(s.run(t.Context(), "--pools web --services nginx php.socket"), 2, "yes", "", "pool dc1/c/nginx: 1 nodes pooled after, min_pooled 2: too few")
	s.want(s.run(t.Context(), "--ignore-headroom --pools web --services nginx php.socket"), 0, "yes", "restart nginx.service\nrestart php.socket\n", "going on as told")
}
