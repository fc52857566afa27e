package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sluice-lb/sluice/internal/devetcd"
	"github.com/sluice-lb/sluice/internal/etcdv2/etcdv2test"
)

// dump is the answer of a v2 server that holds these keys below /conftool/v1.
func dump(t *testing.T, keys map[string]string) string {
	t.Helper()
	type node struct {
		Key   string `json:"key"`
		Dir   bool   `json:"dir,omitempty"`
		Value any    `json:"value,omitempty"`
		Nodes []node `json:"nodes,omitempty"`
	}
	root := node{Key: "/conftool/v1", Dir: true, Nodes: []node{{Key: "/conftool/v1/empty", Dir: true}}}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		root.Nodes = append(root.Nodes, node{Key: "/conftool/v1/" + k, Value: keys[k]})
	}
	text, err := json.Marshal(map[string]any{"action": "get", "node": root})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestImport(t *testing.T) {
	client := startEtcd(t)
	const title = "DUMP: %d keys below /conftool/v1\n"
	tests := []struct {
		name    string
		source  map[string]string // over base; "" removes
		here    map[string]string
		args    string
		want    ran
		changes map[string]string
	}{
		{"into an empty store", nil, nil, "", ran{0, fmt.Sprintf(title, 7) + "node: 7 created, 0 overwritten, 0 the same, 0 different, 0 unusable, 0 only here\n", ""}, base()},
		{"the same", nil, base(), "", ran{0, fmt.Sprintf(title, 7) + "node: 0 created, 0 overwritten, 7 the same, 0 different, 0 unusable, 0 only here\n", ""}, nil},
		{"the same, verified", nil, base(), "--dry-run", ran{0, fmt.Sprintf(title, 7) + "node: 0 to create, 0 to overwrite, 7 the same, 0 different, 0 unusable, 0 only here\n", ""}, nil},
		{"one more here", map[string]string{"pools/codfw/cache_text/https/cp2001": ""}, base(), "", ran{0,
			fmt.Sprintf(title, 6) + "node: 0 created, 0 overwritten, 6 the same, 0 different, 0 unusable, 1 only here\n", ""}, nil},
		{"one more here, verified", map[string]string{"pools/codfw/cache_text/https/cp2001": ""}, base(), "--dry-run", ran{1,
			fmt.Sprintf(title, 6) + "only here: node codfw/cache_text/https/cp2001\nnode: 0 to create, 0 to overwrite, 6 the same, 0 different, 0 unusable, 1 only here\n", ""}, nil},
		{"one more there, verified", map[string]string{"discovery/search/eqiad": `{"pooled":true}`}, base(), "--dry-run", ran{1,
			fmt.Sprintf(title, 8) + "would create discovery search/eqiad {\"pooled\": true}\nnode: 0 to create, 0 to overwrite, 7 the same, 0 different, 0 unusable, 0 only here\n" +
				"discovery: 1 to create, 0 to overwrite, 0 the same, 0 different, 0 unusable, 0 only here\n", ""}, nil},
		{"other order and spacing", map[string]string{"pools/eqiad/appservers/apache/mw1001": "{\"pooled\":\"yes\",\n\"weight\":30}"}, base(), "", ran{0,
			fmt.Sprintf(title, 7) + "node: 0 created, 0 overwritten, 7 the same, 0 different, 0 unusable, 0 only here\n", ""}, nil},
		{"another value", map[string]string{"pools/eqiad/appservers/apache/mw1001": `{"pooled": "no", "x": [1]}`}, base(), "", ran{1,
			fmt.Sprintf(title, 7) + "node: 0 created, 0 overwritten, 6 the same, 1 different, 0 unusable, 0 only here\n",
			"confctl: node eqiad/appservers/apache/mw1001: weight is 30 here, unset there; pooled is yes here, no there; x is unset here, [1] there: left as it is without --overwrite\n"}, nil},
		{"another value, overwritten", map[string]string{"pools/eqiad/appservers/apache/mw1001": `{ "pooled":"no","x":1.50 }`}, base(), "--overwrite", ran{0,
			fmt.Sprintf(title, 7) + "node: 0 created, 1 overwritten, 6 the same, 0 different, 0 unusable, 0 only here\n", ""},
			map[string]string{"pools/eqiad/appservers/apache/mw1001": `{ "pooled":"no","x":1.50 }`}},
		{"another value, overwritten, dry run", map[string]string{"pools/eqiad/appservers/apache/mw1001": `{"pooled": "no", "weight": 30}`}, base(), "--overwrite --dry-run", ran{1,
			fmt.Sprintf(title, 7) + "would overwrite node eqiad/appservers/apache/mw1001: pooled is yes here, no there\n" +
				"node: 0 to create, 1 to overwrite, 6 the same, 0 different, 0 unusable, 0 only here\n", ""}, nil},
		{"garbage here", nil, map[string]string{"pools/eqiad/appservers/apache/mw1001": `{"po`}, "", ran{1,
			fmt.Sprintf(title, 7) + "node: 6 created, 0 overwritten, 0 the same, 1 different, 0 unusable, 0 only here\n",
			"node eqiad/appservers/apache/mw1001: malformed JSON: unexpected end of JSON input here: left as it is"},
			without(base(), "pools/eqiad/appservers/apache/mw1001")},
		{"keys of no type", map[string]string{"request-ipblocks/abuse/a": "{}", "stray": "x"}, nil, "", ran{1,
			fmt.Sprintf(title, 9) + "node: 7 created, 0 overwritten, 0 the same, 0 different, 0 unusable, 0 only here\nof no type: 2\n",
			"confctl: request-ipblocks: 1 keys of no type in the schema: request-ipblocks/abuse/a: left out\nconfctl: stray: 1 keys of no type in the schema: stray: left out\n"}, base()},
		{"keys of no type, skipped", map[string]string{"request-ipblocks/abuse/a": "{}"}, nil, "--skip-unknown", ran{0,
			fmt.Sprintf(title, 8) + "node: 7 created, 0 overwritten, 0 the same, 0 different, 0 unusable, 0 only here\nof no type: 1\n",
			"request-ipblocks: 1 keys of no type"}, base()},
		{"keys of another depth", map[string]string{"pools/a": "{}", "pools/a/b/c/d/e": "{}", "pools/b": "{}", "pools/c": "{}"}, nil, "", ran{1,
			fmt.Sprintf(title, 11) + "node: 7 created, 0 overwritten, 0 the same, 0 different, 0 unusable, 0 only here\nof no type: 4\n",
			"confctl: pools: 4 keys that are no node: a, a/b/c/d/e, b, … (--dry-run names all): left out\n"}, base()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, client, tt.here)
			before := w.stored()
			source := base()
			for k, v := range tt.source {
				source[k] = v
				if v == "" {
					delete(source, k)
				}
			}
			file := w.file("dump.json", dump(t, source))
			got := w.run(Confctl, append([]string{"import", "--from", file, "--prefix", "/conftool/v1"}, strings.Fields(tt.args)...)...)
			got.stdout = strings.ReplaceAll(got.stdout, file, "DUMP")
			got.wants(t, tt.want)
			w.wants(before, tt.changes)
		})
	}
}

// without returns the objects but for one.
func without(all map[string]string, key string) map[string]string {
	delete(all, key)
	return all
}

// Values that cannot be objects are named and left out; all else goes in.
func TestImportLeavesOutWhatIsNoObject(t *testing.T) {
	client := startEtcd(t)
	const key = "pools/eqiad/text/https/cp1"
	for _, tc := range []struct{ value, want string }{
		{`5`, "malformed JSON: not an object"},
		{`"yes"`, "malformed JSON: not an object"},
		{`[{"pooled": "yes"}]`, "malformed JSON: not an object"},
		{`null`, "malformed JSON: not an object"},
		{` `, "malformed JSON: unexpected end of JSON input"},
		{`{"pooled": "yes"`, "malformed JSON: unexpected end of JSON input"},
		{`{"pooled": "yes"} x`, "malformed JSON: invalid character 'x' after top-level value"},
		{`{"pooled": "maybe"}`, "field pooled: maybe not in 'yes | no | inactive'"},
		{`{"weight": "many", "pooled": true}`, "field weight: 'many' is not an integer; field pooled: True not in 'yes | no | inactive'"},
		{`{"weight": -5}`, "field weight: -5 is negative"},
		{`{"note": "` + "\ufffd" + `"}`, "not UTF-8, or it holds U+FFFD"},
		{`{"note": "` + strings.Repeat("x", 500<<10) + `"}`, "500 KiB are more than a change can carry"},
	} {
		w := newWorld(t, client, map[string]string{key: `{}`})
		file := w.file("dump.json", dump(t, map[string]string{key: tc.value, "pools/eqiad/text/https/cp2": `{}`}))
		for _, flag := range []string{"--skip-unknown", "--dry-run", "--overwrite"} {
			got := w.run(Confctl, "import", "--from", file, "--prefix", "/conftool/v1", flag)
			if want := "confctl: node eqiad/text/https/cp1: " + tc.want; got.code != 1 || !strings.Contains(got.stderr, want) || !strings.Contains(got.stderr, ": left out\n") {
				t.Errorf("%.40s: exit %d, stderr %q, want %q", tc.value, got.code, got.stderr, want)
			}
		}
		w.wants(map[string]string{key: `{}`, "pools/eqiad/text/https/cp2": `{}`}, nil)
		if _, err := client.Delete(t.Context(), w.space, clientv3.WithPrefix()); err != nil {
			t.Fatal(err)
		}
	}
}

// The dump itself: whatever is wrong with it, nothing is written.
func TestImportOfNoDump(t *testing.T) {
	w := newWorld(t, startEtcd(t), base())
	whole := dump(t, map[string]string{"pools/x/x/x/x": "{}"})
	for _, tc := range []struct{ text, args, want string }{
		{whole[:len(whole)-1], "", "cut off: unexpected EOF"},
		{whole + "}", "", "something follows the JSON"},
		{"", "", "cut off"},
		{`{"errorCode":100,"message":"Key not found","cause":"/conftool","index":4}`, "", "error 100: Key not found (/conftool)"},
		{`{"errorCode":110,"message":"The request requires user authentication"}`, "", "error 110"},
		{`{"action":"delete","node":{"key":"/conftool/v1/pools/a/b/c/d"}}`, "", `the answer to a "delete"`},
		{`{"action":"get","node":{"key":"/conftool/v1","dir":true}}`, "", "holds no keys"},
		{whole, "--prefix /conftool/v2", "no keys below /conftool/v2, but 1 elsewhere, such as /conftool/v1/pools/x/x/x/x: see --prefix"},
		{`{"format": "sluice-export/9"}`, "", `read export `},
		{`{"format": "sluice-export/1", "objects": {}}`, "", "holds no keys"},
		{`{"action":"get","node":{"key":"/conftool/v1","nodes":[{"key":"/conftool/v1/pools/a/b/c/d","modifiedIndex":4}]}}`, "",
			"node a/b/c/d: no value: it was deleted, or the source lists keys alone: left out"},
		{`[{"key":"/conftool/v1/pools/a/b/c/d","value":"{}","ttl":5}]`, "", "node a/b/c/d: it has a time to live, which an object has not: left out"},
	} {
		args := append([]string{"--quiet", "import", "--from", w.file("dump.json", tc.text), "--prefix", "/conftool/v1"}, strings.Fields(tc.args)...)
		if strings.Contains(tc.text, "sluice-export") {
			args = args[:4]
		}
		got := w.run(Confctl, args...)
		if got.code != 1 || !strings.Contains(got.stderr, tc.want) || strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("%.60s: exit %d, stderr %q, want %q", tc.text, got.code, got.stderr, tc.want)
		}
	}
	w.wants(base(), nil)
}

func TestImportUsage(t *testing.T) {
	w := newWorld(t, startEtcd(t), nil)
	doc := w.file("export.json", `{"format": "sluice-export/1", "objects": {"node": [{"key": "a/b/c/d", "value": {}}]}}`)
	for _, tc := range []struct {
		args string
		code int
		want string
	}{
		{"", 2, "no --from SOURCE given"},
		{"--from a --from b", 2, "want one file, or the URLs of one store"},
		{"--from a --from http://127.0.0.1:1", 2, "want one file, or the URLs of one store"},
		{"--from a --etcdrc b", 2, "--etcdrc: a file has no use for it"},
		{"--from " + doc + " --prefix /x", 2, "--prefix: an export has no use for it"},
		{"--from http://127.0.0.1:1/v2/keys/conftool", 2, "the keys' prefix apart"},
		{"--from http://ada:lovelace@127.0.0.1:1", 2, "user and password belong into a file"},
		{"dump.json", 2, "argument \"dump.json\" is one too many"},
		{"--from /nonexistent", 1, "read dump /nonexistent: no such file or directory"},
		{"--from /", 1, "read dump /: is a directory"},
		{"--etcdrc /nonexistent", 3, "read etcdrc /nonexistent: no such file or directory"},
		{"--etcdrc " + w.file("rc", "username: ada\n"), 3, "username ada: no password given"},
		{"--etcdrc " + w.file("rc2", "colour: red\n"), 3, "field colour not found"},
		{"--from http://127.0.0.1:1,http://127.0.0.1:2", 1, "http://127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused; http://127.0.0.1:2: dial"},
	} {
		got := w.run(Confctl, append([]string{"import"}, strings.Fields(tc.args)...)...)
		if got.code != tc.code || !strings.Contains(got.stderr, tc.want) || strings.Count(got.stderr, "\n") != 1 || strings.Contains(got.stderr, "lovelace") {
			t.Errorf("%s: exit %d, stderr %q, want %d and %q", tc.args, got.code, got.stderr, tc.code, tc.want)
		}
	}
	w.stdin = strings.NewReader(dump(t, base()))
	got := w.run(Confctl, "import", "--from", "-", "--prefix", "conftool/v1/")
	got.wants(t, ran{0, "stdin: 7 keys below /conftool/v1\nnode: 7 created, 0 overwritten, 0 the same, 0 different, 0 unusable, 0 only here\n", ""})
}

// An import that is interrupted says what it has done, and can be run again.
func TestImportInterrupted(t *testing.T) {
	w := newWorld(t, startEtcd(t), nil)
	const n = 8000
	all := make(map[string]string)
	for i := range n {
		all[fmt.Sprintf("pools/eqiad/text/https/cp%05d", i)] = `{"weight": 10, "pooled": "yes"}`
	}
	file := w.file("dump.json", dump(t, all))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watch := w.client.Watch(t.Context(), w.space+"/v1/", clientv3.WithPrefix())
	go func() {
		<-watch
		cancel()
	}()
	var stdout, stderr bytes.Buffer
	code := Confctl(ctx, Env{
		Args: []string{"import", "--from", file, "--prefix", "/conftool/v1"}, Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr,
		Getenv: func(name string) string { return w.vars[name] }, Hostname: func() (string, error) { return "h", nil },
	})
	done := len(w.stored())
	if code != 1 || done == 0 || done == n || !strings.Contains(stderr.String(), "run it again") {
		t.Fatalf("exit %d, %d of %d stored, stderr %q", code, done, n, stderr.String())
	}
	if want := fmt.Sprintf("node: %d created", done); !strings.Contains(stdout.String(), want) {
		t.Errorf("stdout %q, stored %d", stdout.String(), done)
	}
	w.run(Confctl, "--quiet", "import", "--from", file, "--prefix", "/conftool/v1").wants(t, ran{0,
		fmt.Sprintf("node: %d created, 0 overwritten, %d the same, 0 different, 0 unusable, 0 only here\n", n-done, done), ""})
	w.wants(all, nil)
	before := w.revision()
	w.run(Confctl, "--quiet", "import", "--from", file, "--prefix", "/conftool/v1").wants(t, ran{0,
		fmt.Sprintf("node: 0 created, 0 overwritten, %d the same, 0 different, 0 unusable, 0 only here\n", n), ""})
	if w.revision() != before {
		t.Error("the third run wrote something")
	}
}

// A v2 store that changes between the reading and the end of the import is told
// of; one in which something else changes is not.
func TestImportNoticesThatTheSourceMovesOn(t *testing.T) {
	source := v2.Serve(t, etcdv2test.Options{})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for k, v := range base() {
		must(source.Put("/conftool/v1/"+k, v))
	}
	client := startEtcd(t)
	for _, tc := range []struct {
		name   string
		meddle func() error
		want   ran
	}{
		{"nothing", func() error { return nil }, ran{0, "7 the same", ""}},
		{"elsewhere", func() error { return source.Put("/conftool/v2/x", "y") }, ran{0, "7 the same", ""}},
		{"the same value again", func() error {
			return source.Put("/conftool/v1/pools/eqiad/appservers/apache/mw1001", base()["pools/eqiad/appservers/apache/mw1001"])
		}, ran{0, "7 the same", ""}},
		{"new, changed and gone", func() error {
			_ = source.Put("/conftool/v1/discovery/new/eqiad", "{}")
			_ = source.Put("/conftool/v1/pools/eqiad/appservers/apache/mw1001", "{}")
			return source.Delete("/conftool/v1/pools/codfw/cache_text/https/cp2001")
		}, ran{1, "7 the same", "): 1 keys are new, 1 have another value, 1 are gone: import again\n"}},
		{"unreachable", func() error { source.Close(); return nil }, ran{1, "6 the same", "whether the source has changed since: read etcd v2: http://"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, client, nil)
			w.vars["SLUICE_CONFIG"] = w.file("same.yaml", "namespace: /moving\n")
			w.run(Confctl, "import", "--from", source.URL, "--prefix", "/conftool/v1", "--overwrite")
			target, err := url.Parse(source.URL)
			must(err)
			proxy := httputil.NewSingleHostReverseProxy(target)
			proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
			asked := 0
			proxy.ModifyResponse = func(*http.Response) error {
				if asked++; asked == 1 {
					return tc.meddle()
				}
				return nil
			}
			link := httptest.NewServer(proxy)
			defer link.Close()
			got := w.run(Confctl, "--quiet", "import", "--from", link.URL, "--prefix", "/conftool/v1")
			if got.code != tc.want.code || !strings.Contains(got.stdout, tc.want.stdout) || !strings.Contains(got.stderr, tc.want.stderr) || tc.want.stderr == "" && got.stderr != "" {
				t.Errorf("exit %d, stdout %q, stderr %q; want %+v", got.code, got.stdout, got.stderr, tc.want)
			}
		})
	}
}

// Who we are to the v2 store comes from the configuration, or from an etcdrc file
// that may also say where it is.
func TestImportCredentials(t *testing.T) {
	source := v2.Serve(t, etcdv2test.Options{})
	for k, v := range base() {
		if err := source.Put("/conftool/v1/"+k, v); err != nil {
			t.Fatal(err)
		}
	}
	if err := source.Secure("sesame", "/conftool/v1", map[string]string{"ada": "lovelace"}); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(source.URL)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, startEtcd(t), nil)
	good := w.file("good", fmt.Sprintf("host: %s\nport: %s\nusername: ada\npassword: lovelace\nallow_reconnect: true\n", u.Hostname(), u.Port()))
	bad := w.file("bad", "username: ada\npassword_file: "+w.file("secret", "babbage\n")+"\n")
	elsewhere := w.file("elsewhere", "host: 127.0.0.1\nusername: ada\npassword: lovelace\n")
	for _, tc := range []struct {
		args []string
		want ran
	}{
		{[]string{"--from", source.URL}, ran{1, "", "error 110: The request requires user authentication (Insufficient credentials)"}},
		{[]string{"--from", source.URL, "--etcdrc", bad}, ran{1, "", "error 110"}},
		{[]string{"--etcdrc", elsewhere}, ran{1, "", "http://127.0.0.1:4001: dial tcp 127.0.0.1:4001: connect: connection refused"}},
		{[]string{"--from", source.URL, "--etcdrc", elsewhere}, ran{0, "node: 7 created", ""}},
		{[]string{"--etcdrc", good}, ran{0, "7 the same", ""}},
	} {
		got := w.run(Confctl, append([]string{"import", "--prefix", "/conftool/v1"}, tc.args...)...)
		if got.code != tc.want.code || !strings.Contains(got.stdout, tc.want.stdout) || !strings.Contains(got.stderr, tc.want.stderr) || strings.Contains(got.stderr, "lovelace") {
			t.Errorf("%v: exit %d, stdout %q, stderr %q; want %+v", tc.args, got.code, got.stdout, got.stderr, tc.want)
		}
		if tc.want.code != 0 && len(w.stored()) > 0 {
			t.Fatalf("%v: something was written", tc.args)
		}
	}
	w.wants(base(), nil)
}

// Without an etcdrc of its own the v2 store is told who we are here.
func TestImportAsHere(t *testing.T) {
	w := newWorld(t, startEtcd(t), nil)
	ca, err := devetcd.NewAuthority(w.dir)
	if err == nil {
		err = ca.Issue("ada")
	}
	if err != nil {
		t.Fatal(err)
	}
	c := config{Username: "ada", PasswordFile: w.file("secret", "lovelace\n"), CACert: filepath.Join(w.dir, "ca.pem"), Cert: filepath.Join(w.dir, "ada-both.pem"), Timeout: time.Minute}
	got, err := (&importRun{}).v2Config(c, []string{"https://conf1:2379"})
	if err != nil || got.Username != "ada" || got.Password != "lovelace" || got.TLS == nil || len(got.TLS.Certificates) != 1 || got.Timeout != time.Minute {
		t.Errorf("%+v, %v", got, err)
	}
	rc := w.file("rc", "username: eve\npassword: apple\n")
	got, err = (&importRun{etcdrc: rc}).v2Config(c, []string{"https://conf1:2379"})
	if err != nil || got.Username != "eve" || got.Password != "apple" || got.TLS != nil || len(got.Endpoints) != 1 {
		t.Errorf("with an etcdrc: %+v, %v", got, err)
	}
}

// The largest value that is taken fits, even in place of one as large.
func TestImportOfLargeValues(t *testing.T) {
	large := func(letter string) map[string]string {
		return map[string]string{
			"pools/a/b/c/d": `{"note": "` + strings.Repeat(letter, maxObject-12) + `"}`,
			"pools/a/b/c/e": `{"note": "` + strings.Repeat(letter, maxObject-12) + `"}`,
		}
	}
	w := newWorld(t, startEtcd(t), large("x"))
	file := w.file("dump.json", dump(t, large("y")))
	w.run(Confctl, "--quiet", "import", "--from", file, "--prefix", "/conftool/v1", "--overwrite").wants(t, ran{0,
		"node: 0 created, 2 overwritten, 0 the same, 0 different, 0 unusable, 0 only here\n", ""})
	w.wants(large("y"), nil)
}
