package cli

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

func load(t *testing.T, vars map[string]string, args ...string) (config, string, error) {
	t.Helper()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	configFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	c, err := loadConfig(Env{Stderr: &stderr, Getenv: func(name string) string { return vars[name] }}, flags)
	return c, stderr.String(), err
}

func TestLoadConfig(t *testing.T) {
	w := &world{t: t, dir: t.TempDir()}
	file := w.file("config.yaml", "driver: etcd\nhosts: [x]\nnamespace: /n\napi_version: v2\npools_path: p/q\ndriver_options: {A: b}\n"+
		"tcpircbot_host: h\ntcpircbot_port: 9200\ncache_path: /c\nendpoints: ['http://a:1', 'https://b:2']\ntimeout: 2s\n")
	tests := []struct {
		name string
		vars map[string]string
		args []string
		want config
	}{
		{"file", nil, []string{"--config", file}, config{Endpoints: []string{"http://a:1", "https://b:2"}, Namespace: "/n", APIVersion: "v2", PoolsPath: "p/q", Timeout: 2 * time.Second}},
		{"environment over file", map[string]string{"SLUICE_CONFIG": file, "SLUICE_ENDPOINTS": "http://c:3,http://d:4", "SLUICE_TIMEOUT": "1s"}, nil,
			config{Endpoints: []string{"http://c:3", "http://d:4"}, Namespace: "/n", APIVersion: "v2", PoolsPath: "p/q", Timeout: time.Second}},
		{"flag over environment", map[string]string{"SLUICE_CONFIG": "/nonexistent"}, []string{"--config", w.file("min.yaml", "api_version: v9\n")},
			config{Endpoints: []string{"http://127.0.0.1:2379"}, Namespace: "/conftool", APIVersion: "v9", PoolsPath: "pools", Timeout: 5 * time.Second}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, stderr, err := load(t, tt.vars, tt.args...)
			if err != nil || stderr != "" {
				t.Fatal(err, stderr)
			}
			got = config{Endpoints: got.Endpoints, Namespace: got.Namespace, APIVersion: got.APIVersion, PoolsPath: got.PoolsPath, Timeout: got.Timeout}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("config (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadConfigRefuses(t *testing.T) {
	tests := []struct {
		name, file, want string
		code             int
	}{
		{"empty", "", "empty", 1},
		{"comment", "# nothing\n", "empty", 1},
		{"null", "~\n", "empty", 1},
		{"list", "[a]\n", "not a mapping", 1},
		{"word", "a\n", "not a mapping", 1},
		{"broken", "a: [\n", "yaml: ", 1},
		{"two documents", "driver: etcd\n---\ndriver: etcd\n", "more than one document", 1},
		{"unknown key", "driver: etcd\nread_only: true\n", `line 2: unknown key "read_only"`, 1},
		{"another case", "Namespace: /x\n", `unknown key "Namespace"`, 1},
		{"twice", "namespace: /a\nnamespace: /b\n", "already defined", 1},
		{"no value", "namespace:\n", "namespace has no value", 1},
		{"wrong type", "namespace: [a]\n", "namespace", 1},
		{"no endpoints", "endpoints: []\n", "endpoints: none given", 1},
		{"no URL", "endpoints: ['localhost:2379']\n", `endpoints: "localhost:2379" is no URL`, 1},
		{"absolute pools_path", "pools_path: /pools\n", `pools_path: "/pools" is not a relative path`, 1},
		{"timeout", "timeout: 5\n", "timeout: want a time like 5s", 1},
		{"driver", "driver: consul\n", `driver: there is no driver "consul"`, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := &world{t: t, dir: t.TempDir(), stdin: strings.NewReader("")}
			file := w.file("config.yaml", tt.file)
			for _, args := range [][]string{{"--config", file, "select", "name=x", "get"}} {
				got := w.run(Confctl, args...)
				if got.code != tt.code || got.stdout != "" || strings.Count(got.stderr, "\n") != 1 ||
					!strings.HasPrefix(got.stderr, "confctl: read config "+file+": ") || !strings.Contains(got.stderr, tt.want) {
					t.Errorf("got %+v, want %s", got, tt.want)
				}
			}
		})
	}
}

func TestMissingFiles(t *testing.T) {
	w := &world{t: t, dir: t.TempDir(), stdin: strings.NewReader("")}
	good := w.file("config.yaml", "driver: etcd\n")
	w.run(Confctl, "--config", "/nonexistent", "select", "name=x", "get").wants(t,
		ran{1, "", "confctl: read config /nonexistent: no such file or directory\n"})
	w.run(Pool, "--config", "/nonexistent").wants(t, ran{1, "", "pool: read config /nonexistent: no such file or directory\n"})
	w.run(Confctl, "--config", good, "--schema", "/nonexistent", "select", "name=x", "get").wants(t,
		ran{1, "", "confctl: read schema /nonexistent: no such file or directory\n"})
	w.run(Confctl, "--config", good, "--schema", w.file("schema.yaml", "x:\n  path: y\n"), "select", "name=x", "get").wants(t,
		ran{1, "", "schema.yaml:1: type x: no tags\n"})
}

func TestMissingDefaultConfig(t *testing.T) {
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	flags.String("config", "/nonexistent/config.yaml", "")
	var stderr bytes.Buffer
	c, err := loadConfig(Env{Stderr: &stderr, Getenv: func(string) string { return "" }}, flags)
	if err != nil || c.Endpoints[0] != "http://127.0.0.1:2379" {
		t.Errorf("got %v, %v", c, err)
	}
	if want := "warning: no config /nonexistent/config.yaml: using defaults\n"; stderr.String() != want {
		t.Errorf("stderr %q, want %q", stderr.String(), want)
	}
}

// A store that cannot be reached, or that accepts and then says nothing, is
// one line and exit 1 within the timeout, whatever the command.
func TestNoStore(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for name, addr := range map[string]string{"hung": listener.Addr().String(), "refused": closed.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			w := &world{t: t, dir: t.TempDir(), stdin: strings.NewReader("")}
			w.file("data/node/x.yaml", "a: {b: {c: [d]}}\n")
			w.vars = map[string]string{
				"SLUICE_CONFIG":    w.file("config.yaml", "timeout: 300ms\n"),
				"SLUICE_ENDPOINTS": "http://" + addr,
			}
			for _, got := range []ran{
				w.run(Confctl, "select", "name=x", "get"),
				w.run(Confctl, "select", "name=x", "set/pooled=no"),
				w.run(Confctl, "depool"),
				w.run(Confctl, "sync", w.dir+"/data"),
				w.run(Depool),
			} {
				if got.code != 1 || got.stdout != "" || strings.Count(got.stderr, "\n") != 1 || !strings.Contains(got.stderr, addr) {
					t.Errorf("got %+v", got)
				}
				t.Log(got.stderr)
			}
		})
	}
}
