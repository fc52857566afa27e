package cli

import (
	"context"
	"maps"
	"strings"
	"testing"
)

// What is agreed upon for a pool holds whether or not a balancer is there.
func TestFloor(t *testing.T) {
	client := startEtcd(t)
	const refused = "refused, nothing was written"
	settings := func(raw string) map[string]string {
		return map[string]string{"pool-settings/eqiad/cache_text/https": raw}
	}
	two := settings(`{"min_pooled": 2}`) // as many as there are
	https := "pools/eqiad/cache_text/https/"
	tests := []struct {
		name    string
		extra   map[string]string
		program func(context.Context, Env) int
		args    string
		code    int
		stderr  string
	}{
		{"below", two, Depool, "https", 2, "pool eqiad/cache_text/https: 1 nodes pooled after, min_pooled 2: too few"},
		{"by drain", two, Drain, "https", 2, refused},
		{"for good", two, Decommission, "https", 2, refused},
		{"deleted", two, Confctl, "select name=cp1001,service=https delete", 2, refused},
		{"by set", two, Confctl, "select name=cp1001,service=https set/weight=0", 2, refused},
		{"by confctl's verb", two, Confctl, "depool --service https", 2, refused},
		{"dry run", two, Confctl, "--dry-run depool --service https", 2, refused},
		{"forced", two, Depool, "--force https", 0, ""},
		{"with the other services", two, Depool, "", 2, refused},
		{"another service", two, Depool, "varnish", 0, ""},
		{"just enough", settings(`{"min_pooled": 1}`), Depool, "https", 0, ""},
		{"no floor", settings(`{"note": "none"}`), Depool, "https", 0, ""},
		{"who is out already", two, Depool, "--hostname cp1003", 0, ""},
		{"below, but coming back", settings(`{"min_pooled": 9}`), Pool, "--hostname cp1003", 0, ""},
		{"a node without weight is none", map[string]string{"pool-settings/eqiad/cache_text/https": `{"min_pooled": 2}`, https + "cp1003": `{"weight": 0, "pooled": "yes"}`},
			Depool, "https", 2, refused},
		{"not known", settings(`{"min_pooled": "many"}`), Depool, "https", 2, "pool eqiad/cache_text/https: "},
		{"not JSON", settings(`{`), Depool, "https", 2, "pool eqiad/cache_text/https: "},
		{"node not known", map[string]string{"pool-settings/eqiad/cache_text/https": `{"min_pooled": 2}`, https + "cp1004": `{`}, Depool, "https", 2, "1 nodes pooled after"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := base()
			maps.Copy(before, tt.extra)
			w := newWorld(t, client, before)
			w.stdin = strings.NewReader("y\n")
			got := w.run(tt.program, strings.Fields(tt.args)...)
			if got.code != tt.code || !strings.Contains(got.stderr, tt.stderr) {
				t.Errorf("exit %d, want %d; stderr %q, want %q", got.code, tt.code, got.stderr, tt.stderr)
			}
			if tt.code != 0 {
				w.wants(before, nil)
			}
		})
	}
}

// A schema without our pool type, or with another of that name, has no floors.
func TestFloorIsOfOurType(t *testing.T) {
	client := startEtcd(t)
	for _, schema := range []string{"x: {path: x, tags: [], schema: {}}\n", "pool: {path: pool-settings, tags: [dc, cluster], schema: {min_pooled: {type: string, default: x}}}\n"} {
		before := base()
		before["pool-settings/eqiad/cache_text/https"] = `{"min_pooled": 2}`
		w := newWorld(t, client, before)
		w.vars["SLUICE_SCHEMA"] = w.file("schema.yaml", schema)
		if got := w.run(Depool, "https"); got.code != 0 {
			t.Errorf("with schema %s: %+v", schema, got)
		}
	}
}
