package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const lbdCatalog = `
a: &a
  ip: {dc1: {default: 192.0.2.1}}
  port: 80
  sites: [dc1]
  state: production
  lvs: &lvs {class: low, conftool: {cluster: web, service: http}}
b: {<<: *a, port: 81, lvs: {<<: *lvs, class: high, conftool: {cluster: api, service: http}}}
c: {<<: *a, port: 82}
d: {<<: *a, ip: {dc2: {default: 192.0.2.1}}, sites: [dc2]}
`

// runLbd runs generate lbd on a catalog of its own, with a configuration, and
// returns the exit code and what was said.
func runLbd(t *testing.T, config string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"catalog.yaml": lbdCatalog, "config.yaml": config} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var out, said strings.Builder
	env := Env{
		Args:  append([]string{"generate", "lbd", "--catalog", filepath.Join(dir, "catalog.yaml"), "--site", "dc1"}, args...),
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &said, Hostname: os.Hostname,
		Getenv: func(name string) string {
			return map[string]string{"SLUICE_CONFIG": filepath.Join(dir, "config.yaml")}[name]
		},
	}
	code = Confctl(t.Context(), env)
	return code, out.String(), strings.ReplaceAll(said.String(), dir, "DIR")
}

// sources returns the values of config in a pybal.conf.
func sources(conf string) string {
	var values []string
	for line := range strings.Lines(conf) {
		if v, ok := strings.CutPrefix(line, "config = "); ok {
			values = append(values, strings.TrimSuffix(v, "\n"))
		}
	}
	return strings.Join(values, " ")
}

func TestGenerateLbdSources(t *testing.T) {
	const config = "endpoints: ['http://e1:2379/', 'http://e2:4001']\nnamespace: space/\npools_path: p/q\n"
	for _, tt := range []struct{ source, want string }{
		{"", "etcd://e1:2379,e2:4001/space/v1/p/q/dc1/web/http/"},
		{"etcd://h:4001", "etcd://h:4001/space/v1/p/q/dc1/web/http/"},
		{"etcd://h/", "etcd://h/space/v1/p/q/dc1/web/http/"},
		{"etcd://[::1]:1/mine/", "etcd://[::1]:1/mine/dc1/web/http/"},
		{"etcd://h/{entry}/{site}", "etcd://h/c/dc1"},
		{"http://h/{entry}?a=100%25", "http://h/c?a=100%%25"},
		{"http://h/{site}/{cluster}/{service}", "http://h/dc1/web/http"},
		{"https://h/{cluster}.json", "https://h/web.json"},
		{"file:///d/{cluster}/{service}", "file:///d/web/http"},
	} {
		args := []string{"--class", "low", "--out", "-"}
		if tt.source != "" {
			args = append(args, "--source", tt.source)
		}
		code, stdout, stderr := runLbd(t, config, args...)
		// a and c have the same pool, and only their entries differ.
		want := strings.Replace(tt.want, "/c", "/a", 1) + " " + tt.want
		if code != exitOK || stderr != "" || sources(stdout) != want {
			t.Errorf("%q: exit %d, %q, want %q; %s", tt.source, code, sources(stdout), want, stderr)
		}
	}
}

// The usual path behind a host holds no cluster, so clusters must not share a
// service's name; that of a class not asked for counts, as its file would not
// be there either.
func TestGenerateLbdRefusesOneSourceOfTwoPools(t *testing.T) {
	for source, url := range map[string]string{
		"http://h": "http://h/pybal/dc1/http", "https://h/pools/": "https://h/pools/dc1/http", "file:///d": "file:///d/dc1/http", "etcd://h/{site}": "etcd://h/dc1",
	} {
		code, stdout, stderr := runLbd(t, "namespace: /n\n", "--class", "low", "--out", "-", "--source", source)
		want := "confctl: --source: " + url + " would be the pool of both web/http and api/http: put {cluster} or {entry} into the URL\n"
		if code != exitUsage || stdout != "" || stderr != want {
			t.Errorf("%s: exit %d, %q, %q", source, code, stdout, stderr)
		}
	}
}

func TestGenerateLbdUsage(t *testing.T) {
	for _, tt := range []struct{ args, config, want string }{
		{"--out -", "endpoints: []\n", "read config DIR/config.yaml: endpoints: none given"},
		{"", "", "no --out FILE given"},
		{"--out - --site=", "", "no --site SITE given"},
		{"--out - --catalog=", "", "no --catalog FILE given"},
		{"--out - --catalog=/nowhere/c", "", "read catalog /nowhere/c: no such file or directory"},
		{"--out - --check true", "", "--check and --reload are about a file, and --out is stdout"},
		{"--out - --reload true", "", "--check and --reload are about a file, and --out is stdout"},
		{"--out x --check []", "", "--check: names no command"},
		{"--out x --reload []", "", "--reload: names no command"},
		{"--out - extra", "", `argument "extra" is one too many`},
		{"--out - --source redis://h", "", `--source: "redis://h" is no URL like etcd://HOST:PORT, http://HOST or file:///DIR`},
		{"--out - --source etcd:///k", "", `"etcd:///k" is no URL like`},
		{"--out - --source file://etc/k", "", `"file://etc/k" is no URL like`},
		{"--out - --source etcd://u:p@h/k", "", `"etcd://u:p@h/k" is no URL like`},
		{"--out - --source etcd://h/k?a", "", `"etcd://h/k?a" is no URL like`},
		{"--out - --source http://h/#a", "", `"http://h/#a" is no URL like`},
		{"--out - --source http://h:x/", "", `invalid port ":x" after host`},
		{"--out - --source http://h/{dc}", "", "--source: {dc} means nothing: want {site}, {cluster}, {service} or {entry}"},
		{"--out - --source http://h/{site", "", "--source: { means nothing: want"},
		{"--out - --source http://h/x?y", "", `--source: nothing can be put behind "http://h/x?y": say where with {site}, {cluster} and {service}`},
		{"--out - --source file:///", "", `--source: nothing can be put behind "file:///"`},
		{"--out /nowhere/x --source etcd://h/k", "", "read directory /nowhere: no such file or directory"},
		{"--out - --global /nowhere/g --source etcd://h/k", "", "read global section /nowhere/g: no such file or directory"},
	} {
		code, stdout, stderr := runLbd(t, tt.config, strings.Fields(tt.args)...)
		if code == exitOK || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, tt.want) {
			t.Errorf("%s: exit %d, %q, %q", tt.args, code, stdout, stderr)
		}
	}
}

// A store that lbd could not speak to is said.
func TestGenerateLbdWarnsOfTLS(t *testing.T) {
	code, stdout, stderr := runLbd(t, "endpoints: ['https://e1:2379']\n", "--class", "low", "--out", "-")
	if code != exitOK || !strings.HasPrefix(sources(stdout), "etcd://e1:2379/conftool/v1/pools/dc1/web/http/") ||
		stderr != "note: the store speaks TLS, which lbd has to be told in [global]: etcd-tls or etcd-ca\n" {
		t.Errorf("exit %d, %q, %q", code, sources(stdout), stderr)
	}
}

// A catalog that has nothing for a balancer takes no service away unless told
// to; what stands in front of the catalog's is not the catalog's to lose.
func TestGenerateLbdLosesNothing(t *testing.T) {
	const mine, theirs = "[global]\n[mine_1]\nport = 1\n", "[b_81]\nport = 81\n"
	for _, tt := range []struct {
		old, said string
		flags     []string
	}{
		{"", "", nil},
		{mine, "", nil},
		{mine + theirs, "no service would be left of 1: kept as it is without --allow-empty", nil},
		{mine + theirs, "", []string{"--allow-empty"}},
		{"[DEFAULT]\nport = 1\n", "", nil},
	} {
		dir := t.TempDir()
		conf, global := filepath.Join(dir, "pybal.conf"), filepath.Join(dir, "global.conf")
		for path, text := range map[string]string{conf: tt.old, global: mine} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		args := append([]string{"--site", "dc2", "--class", "high", "--source", "etcd://h/k", "--global", global, "--out", conf}, tt.flags...)
		code, _, stderr := runLbd(t, "", args...)
		text, err := os.ReadFile(conf)
		if err != nil {
			t.Fatal(err)
		}
		if tt.said == "" && (code != exitOK || stderr != "" || !strings.HasSuffix(string(text), "\n"+mine)) ||
			tt.said != "" && (code != exitFailure || !strings.Contains(stderr, tt.said) || string(text) != tt.old) {
			t.Errorf("%q %v: exit %d, %s, now %q", tt.old, tt.flags, code, stderr, text)
		}
		if info, err := os.Stat(conf); err != nil || info.Mode() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
	}
}
