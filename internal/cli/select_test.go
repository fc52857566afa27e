package cli

import (
	"strings"
	"testing"
)

const (
	mw1001 = `{"mw1001": {"weight": 30, "pooled": "yes"}, "tags": "dc=eqiad,cluster=appservers,service=apache"}` + "\n"
	cpHTTP = `{"cp1001": {"weight": 10, "pooled": "yes"}, "tags": "dc=eqiad,cluster=cache_text,service=https"}` + "\n"
	cpVarn = `{"cp1001": {"weight": 1, "pooled": "yes"}, "tags": "dc=eqiad,cluster=cache_text,service=varnish"}` + "\n"
)

func TestSelectGet(t *testing.T) {
	client := startEtcd(t)
	tests := []struct {
		name  string
		extra map[string]string
		args  string
		want  ran
	}{
		{"one", nil, "select name=mw1001 get", ran{0, mw1001, ""}},
		{"sorted", nil, "select name=cp1001 get", ran{0, cpHTTP + cpVarn, ""}},
		{"two terms", nil, "select name=cp1001,service=https get", ran{0, cpHTTP, ""}},
		{"anchored", nil, "select name=cp1 get", ran{0, "", ""}},
		{"yaml changes nothing", nil, "--yaml select name=mw1001 get", ran{0, mw1001, ""}},
		{"unknown field", map[string]string{"pools/eqiad/appservers/apache/mw1001": `{"x":1,"pooled":"yes","weight":"30"}`},
			"select name=mw1001 get", ran{0, mw1001, ""}},
		{"malformed", map[string]string{"pools/a/b/c/bad": `{"weight"`}, "select name=bad|mw1001 get",
			ran{1, mw1001, "confctl: node a/b/c/bad: malformed JSON"}},
		{"invalid", map[string]string{"pools/a/b/c/bad": `{"pooled": "maybe"}`}, "select name=bad get",
			ran{1, "", "confctl: node a/b/c/bad: field pooled: maybe not in 'yes | no | inactive'"}},
		{"stray key", map[string]string{"pools/stray": "x"}, "select name=mw1001 get",
			ran{0, mw1001, "warning: keys below pools that are no node, ignored: stray\n"}},
		{"unknown tag", nil, "select host=cp1001 get", ran{1, "", `unknown tag "host": type node has dc, cluster, service, name`}},
		{"no term", nil, "select cp1001 get", ran{1, "", "want TAG=REGEX"}},
		{"bad regex", nil, "select name=[ get", ran{1, "", "missing closing ]"}},
		{"look-around", nil, "select name=(?!cp1).* get", ran{1, "", "look-around"}},
		{"unknown action", nil, "select name=mw1001 frobnicate", ran{1, "", "Could not parse action frobnicate\n"}},
		{"unknown type", nil, "--object-type nope select name=x get", ran{1, "", `object type "nope": not in the schema`}},
		{"another type", map[string]string{"discovery/search/eqiad": `{"pooled": true}`}, "--object-type discovery select name=eqiad get",
			ran{0, `{"eqiad": {"pooled": true, "references": [], "ttl": 300}, "tags": "dnsdisc=search"}` + "\n", ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, client, base())
			for k, v := range tt.extra {
				w.put(k, v)
			}
			before := w.revision()
			w.run(Confctl, strings.Fields(tt.args)...).wants(t, tt.want)
			if w.revision() != before {
				t.Error("something was written")
			}
		})
	}
}

func TestSelectGetFromAnEmptyStore(t *testing.T) {
	w := newWorld(t, startEtcd(t), nil)
	w.run(Confctl, "select", "name=x", "get").wants(t, ran{0, "", ""})
}

func TestSelectWrite(t *testing.T) {
	client := startEtcd(t)
	const mw = "pools/eqiad/appservers/apache/mw1001"
	tests := []struct {
		name    string
		extra   map[string]string
		args    string
		want    ran
		changes map[string]string
	}{
		{"set", nil, "select name=mw1001 set/pooled=no",
			ran{0, "eqiad/appservers/apache/mw1001: pooled changed yes => no\n", ""}, map[string]string{mw: `{"weight": 30, "pooled": "no"}`}},
		{"two fields", nil, "--quiet select name=mw1001 set/pooled=no:weight=5",
			ran{0, "eqiad/appservers/apache/mw1001: pooled changed yes => no\neqiad/appservers/apache/mw1001: weight changed 30 => 5\n", ""},
			map[string]string{mw: `{"weight": 5, "pooled": "no"}`}},
		{"unchanged", nil, "select name=mw1001 set/pooled=yes:weight=30", ran{0, "\n", ""}, nil},
		{"unknown fields stay", map[string]string{mw: `{"x":{"b":1,"a":2},"pooled":"maybe"}`}, "select name=mw1001 set/weight=3",
			ran{0, "eqiad/appservers/apache/mw1001: weight changed 0 => 3\n", ""}, map[string]string{mw: `{"x": {"b": 1, "a": 2}, "pooled": "maybe", "weight": 3}`}},
		{"no number", nil, "select name=mw1001 set/weight=abc", ran{1, "", "The provided data is not valid: 'abc' is not an integer"}, nil},
		{"negative", nil, "select name=mw1001 set/weight=-5", ran{1, "", "negative"}, nil},
		{"not in the enum", nil, "select name=mw1001 set/pooled=maybe", ran{1, "", "The provided data is not valid: maybe not in 'yes | no | inactive'"}, nil},
		{"unknown field", nil, "select name=mw1001 set/pooled=no:foo=1", ran{1, "", "The provided data is not valid: Key foo not in the schema"}, nil},
		{"malformed set", nil, "select name=mw1001 set/", ran{1, "", "could not parse set instructions"}, nil},
		{"no set at all", nil, "select name=mw1001 set", ran{1, "", "could not parse set instructions"}, nil},
		{"from a file", nil, "select name=mw1001 set/@FILE",
			ran{0, "eqiad/appservers/apache/mw1001: pooled changed yes => no\neqiad/appservers/apache/mw1001: weight changed 30 => 2\n", ""},
			map[string]string{mw: `{"weight": 2, "pooled": "no"}`}},
		{"from no file", nil, "select name=mw1001 set/@/nonexistent", ran{1, "", "read settings /nonexistent: no such file or directory"}, nil},
		{"nothing matches", nil, "select name=nothing set/pooled=no", ran{0, "", "no objects match name=nothing\n"}, nil},
		{"delete", nil, "select name=mw1001 delete", ran{0, "Deleted ('Node',) mw1001.\n", ""}, map[string]string{mw: ""}},
		{"delete with more", nil, "select name=mw1001 delete/x", ran{1, "", "Could not parse action delete/x"}, nil},
		{"malformed is skipped", map[string]string{"pools/a/b/c/mw1001": "{"}, "--host select name=mw1001 set/weight=1",
			ran{1, "eqiad/appservers/apache/mw1001: weight changed 30 => 1\n", "confctl: node a/b/c/mw1001: malformed JSON"},
			map[string]string{mw: `{"weight": 1, "pooled": "yes"}`}},
		{"malformed can go", map[string]string{"pools/a/b/c/bad": "{"}, "select name=bad delete",
			ran{0, "Deleted ('Node',) bad.\n", ""}, map[string]string{"pools/a/b/c/bad": ""}},
		{"several, same host", nil, "--host select name=cp1001 set/weight=0", ran{0,
			"eqiad/cache_text/https/cp1001: weight changed 10 => 0\neqiad/cache_text/varnish/cp1001: weight changed 1 => 0\n", ""},
			map[string]string{
				"pools/eqiad/cache_text/https/cp1001":   `{"weight": 0, "pooled": "yes"}`,
				"pools/eqiad/cache_text/varnish/cp1001": `{"weight": 0, "pooled": "yes"}`}},
		{"another type", map[string]string{"discovery/search/eqiad": `{"pooled":true,"references":[],"ttl":300}`},
			"--object-type discovery select name=eqiad set/pooled=FALSE:references=a,b",
			ran{0, "search/eqiad: pooled changed True => False\nsearch/eqiad: references changed [] => ['a', 'b']\n", ""},
			map[string]string{"discovery/search/eqiad": `{"pooled": false, "references": ["a", "b"], "ttl": 300}`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := base()
			for k, v := range tt.extra {
				before[k] = v
			}
			w := newWorld(t, client, before)
			args := strings.Fields(tt.args)
			for i := range args {
				args[i] = strings.ReplaceAll(args[i], "@FILE", "@"+w.file("set.yaml", "pooled: no\nweight: 2\n"))
			}
			revision := w.revision()
			w.run(Confctl, args...).wants(t, tt.want)
			w.wants(before, tt.changes)
			if tt.changes == nil && w.revision() != revision {
				t.Error("something was written")
			}
		})
	}
}

func TestConfirmation(t *testing.T) {
	client := startEtcd(t)
	const question = "The selectors you chose pick the following 2 objects:\n" +
		`{"/eqiad/cache_text/https": ["cp1001"], "/eqiad/cache_text/varnish": ["cp1001"]}` + "\nGo on? [y/N]\nconfctl>"
	const done = "eqiad/cache_text/https/cp1001: pooled changed yes => no\neqiad/cache_text/varnish/cp1001: pooled changed yes => no\n"
	const set = "eqiad/cache_text/https/cp1001: pooled yes => no\neqiad/cache_text/varnish/cp1001: pooled yes => no\n" +
		"pool eqiad/cache_text/https: 2 of 3 pooled now, 1 after\npool eqiad/cache_text/varnish: 2 of 2 pooled now, 1 after\n"
	const deleted = "eqiad/cache_text/https/cp1001: deleted\neqiad/cache_text/varnish/cp1001: deleted\n" +
		"pool eqiad/cache_text/https: 2 of 3 pooled now, 1 of 2 after\npool eqiad/cache_text/varnish: 2 of 2 pooled now, 1 of 1 after\n"
	const both = "eqiad/cache_text/https/cp1001: pooled yes => no\neqiad/cache_text/https/cp1002: pooled yes => no\n" +
		"pool eqiad/cache_text/https: 2 of 3 pooled now, 0 after\n"
	tests := []struct {
		name, stdin, args string
		want              ran
	}{
		{"y", "y\n", "select name=cp1001 set/pooled=no", ran{0, question + done, set}},
		{"Y without newline", "Y", "select name=cp1001 set/pooled=no", ran{0, question + done, set}},
		{"yes", "yes\n", "select name=cp1001 set/pooled=no", ran{1, question + "Aborting\n", set}},
		{"n", "n\n", "select name=cp1001 set/pooled=no", ran{1, question + "Aborting\n", set}},
		{"empty line", "\n", "select name=cp1001 delete", ran{1, question + "Aborting\n", deleted}},
		{"end", "", "select name=cp1001 set/pooled=no", ran{1, question, set + "confctl: read answer: stdin is at its end, nothing changed\n"}},
		{"yaml", "n\n", "--yaml select name=cp1001 delete", ran{1, "The selectors you chose pick the following 2 objects:\n" +
			"/eqiad/cache_text/https:\n    - cp1001\n/eqiad/cache_text/varnish:\n    - cp1001\nGo on? [y/N]\nconfctl>Aborting\n", deleted}},
		{"host, two names", "n\n", "--host select name=cp100[12],service=https set/pooled=no", ran{1,
			"The selectors you chose pick the following 2 objects:\n" +
				`{"/eqiad/cache_text/https": ["cp1001", "cp1002"]}` + "\nGo on? [y/N]\nconfctl>Aborting\n", both}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, client, base())
			w.stdin = strings.NewReader(tt.stdin)
			w.run(Confctl, strings.Fields(tt.args)...).wants(t, tt.want)
			if tt.want.code != 0 {
				w.wants(base(), nil)
			}
		})
	}
}

// writer is a stdin that has somebody else change the store before it answers.
type writer func()

func (w writer) Read(p []byte) (int, error) {
	w()
	return copy(p, "y\n"), nil
}

func TestOthersChangesSurviveThePrompt(t *testing.T) {
	client := startEtcd(t)
	const https = "pools/eqiad/cache_text/https/cp1001"
	t.Run("another field", func(t *testing.T) {
		w := newWorld(t, client, base())
		w.stdin = writer(func() { w.put(https, `{"weight": 10, "pooled": "no"}`) })
		if got := w.run(Confctl, "select", "name=cp1001", "set/weight=20"); got.code != 0 {
			t.Errorf("got %+v", got)
		}
		w.wants(base(), map[string]string{
			https:                                   `{"weight": 20, "pooled": "no"}`,
			"pools/eqiad/cache_text/varnish/cp1001": `{"weight": 20, "pooled": "yes"}`,
		})
	})
	t.Run("the same field", func(t *testing.T) {
		w := newWorld(t, client, base())
		w.stdin = writer(func() { w.put(https, `{"weight": 7, "pooled": "yes"}`) })
		got := w.run(Confctl, "select", "name=cp1001", "set/weight=20")
		if got.code != 1 || !strings.Contains(got.stderr, "cp1001") || !strings.Contains(got.stderr, "confctl: eqiad/cache_text/https/cp1001: weight was 10, is now 7") {
			t.Errorf("got %+v", got)
		}
		w.wants(base(), map[string]string{https: `{"weight": 7, "pooled": "yes"}`})
	})
	t.Run("deleted", func(t *testing.T) {
		w := newWorld(t, client, base())
		w.stdin = writer(func() {
			if _, err := client.Delete(w.t.Context(), w.space+"/v1/"+https); err != nil {
				t.Error(err)
			}
		})
		if got := w.run(Confctl, "select", "name=cp1001", "set/weight=20"); got.code != 1 || !strings.Contains(got.stderr, "does not exist") {
			t.Errorf("got %+v", got)
		}
		w.wants(base(), map[string]string{https: ""})
	})
}

func TestUsage(t *testing.T) {
	w := newWorld(t, startEtcd(t), base())
	tests := []struct{ args, want string }{
		{"", "confctl: no mode given (see confctl --help)"},
		{"frob", `unknown mode "frob"`},
		{"select --quiet name=mw1001 get", "unknown flag: --quiet"},
		{"select name=mw1001", "no ACTION given (see confctl select --help)"},
		{"select name=mw1001 get get", `argument "get" is one too many`},
		{"--object-type", "flag needs an argument: --object-type"},
		{"pool cp1001", `argument "cp1001" is one too many`},
		{"sync", "no DIR given"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			w.run(Confctl, strings.Fields(tt.args)...).wants(t, ran{2, "", tt.want})
		})
	}
	if got := w.run(Confctl, "--version"); got.code != 0 || !strings.HasPrefix(got.stdout, "confctl ") {
		t.Errorf("--version: %+v", got)
	}
	if got := w.run(Confctl, "--help"); got.code != 0 || !strings.Contains(got.stdout, "decommission") || got.stderr != "" {
		t.Errorf("--help: %+v", got)
	}
}
