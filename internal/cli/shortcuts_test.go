package cli

import (
	"context"
	"strings"
	"testing"
)

const (
	https   = "pools/eqiad/cache_text/https/cp1001"
	varnish = "pools/eqiad/cache_text/varnish/cp1001"
)

func TestShortcuts(t *testing.T) {
	client := startEtcd(t)
	tests := []struct {
		name    string
		program func(context.Context, Env) int
		args    string
		extra   map[string]string
		want    ran
		changes map[string]string
	}{
		{"depool all", Depool, "", nil, ran{0, "Depooling all services on cp1001\n" +
			"eqiad/cache_text/https/cp1001: pooled changed yes => no\neqiad/cache_text/varnish/cp1001: pooled changed yes => no\n", ""},
			map[string]string{https: `{"weight": 10, "pooled": "no"}`, varnish: `{"weight": 1, "pooled": "no"}`}},
		{"depool one", Depool, "service=https", nil, ran{0, "Depooling https on cp1001\neqiad/cache_text/https/cp1001: pooled changed yes => no\n", ""},
			map[string]string{https: `{"weight": 10, "pooled": "no"}`}},
		{"pool another host", Pool, "--quiet --hostname cp1003 https", nil,
			ran{0, "Pooling https on cp1003\neqiad/cache_text/https/cp1003: pooled changed no => yes\n", ""},
			map[string]string{"pools/eqiad/cache_text/https/cp1003": `{"weight": 10, "pooled": "yes"}`}},
		{"pool what is pooled", Pool, "https", nil, ran{0, "Pooling https on cp1001\n\n", ""}, nil},
		{"drain", Drain, "https", nil, ran{0, "Draining https on cp1001\neqiad/cache_text/https/cp1001: weight changed 10 => 0\n", ""},
			map[string]string{https: `{"weight": 0, "pooled": "yes"}`}},
		{"decommission", Decommission, "https", nil,
			ran{0, "Decommissioning https on cp1001\neqiad/cache_text/https/cp1001: pooled changed yes => inactive\n", ""},
			map[string]string{https: `{"weight": 10, "pooled": "inactive"}`}},
		{"other tag", Depool, "cluster=cache_text", nil, ran{3, "Selection of any tag other than 'service' is not allowed\n", ""}, nil},
		{"nothing matches", Depool, "nginx", nil, ran{4, "", "No objects match\n"}, nil},
		{"other datacenter", Depool, "--dc codfw", nil, ran{4, "", "No objects match\n"}, nil},
		{"host is no expression", Depool, "--hostname cp100.", nil, ran{4, "", "No objects match\n"}, nil},
		{"service is no expression", Depool, "http.", nil, ran{4, "", "No objects match\n"}, nil},
		{"two services", Depool, "https varnish", nil, ran{2, "", "(see depool --help)"}, nil},
		{"weight 0", Pool, "", map[string]string{https: `{"weight": 0, "pooled": "no"}`, varnish: `{"weight": 1, "pooled": "no"}`},
			ran{2, "You cannot pool a node where weight is equal to 0\n", ""}, nil},
		{"weight 0 but pooled", Pool, "https", map[string]string{https: `{"weight": 0, "pooled": "yes"}`}, ran{0, "Pooling https on cp1001\n\n", ""}, nil},
		{"weight missing", Pool, "https", map[string]string{https: `{"pooled": "no"}`},
			ran{2, "You cannot pool a node where weight is equal to 0\n", ""}, nil},
		{"pool inactive", Pool, "--hostname cp2001", nil, ran{2, "", "codfw/cache_text/https/cp2001 is inactive: nothing pooled (--force pools it)"}, nil},
		{"force pool inactive", Pool, "--hostname cp2001 --force", nil,
			ran{0, "Pooling all services on cp2001\ncodfw/cache_text/https/cp2001: pooled changed inactive => yes\n", ""},
			map[string]string{"pools/codfw/cache_text/https/cp2001": `{"weight": 10, "pooled": "yes"}`}},
		{"depool inactive", Depool, "", map[string]string{https: `{"weight": 10, "pooled": "inactive"}`},
			ran{0, "Depooling all services on cp1001\neqiad/cache_text/varnish/cp1001: pooled changed yes => no\n",
				"eqiad/cache_text/https/cp1001 is inactive: left alone (--force depools it)\n"},
			map[string]string{varnish: `{"weight": 1, "pooled": "no"}`}},
		{"force depool inactive", Depool, "--force https", map[string]string{https: `{"weight": 10, "pooled": "inactive"}`},
			ran{0, "Depooling https on cp1001\neqiad/cache_text/https/cp1001: pooled changed inactive => no\n", ""},
			map[string]string{https: `{"weight": 10, "pooled": "no"}`}},
		{"malformed", Pool, "https", map[string]string{https: `{`}, ran{1, "", "pool: eqiad/cache_text/https/cp1001: node: malformed JSON"}, nil},
		{"confctl depool", Confctl, "depool --hostname cp1001", nil, ran{0,
			"eqiad/cache_text/https/cp1001: pooled changed yes => no\neqiad/cache_text/varnish/cp1001: pooled changed yes => no\n", ""},
			map[string]string{https: `{"weight": 10, "pooled": "no"}`, varnish: `{"weight": 1, "pooled": "no"}`}},
		{"confctl drain one", Confctl, "drain --service https", nil, ran{0, "eqiad/cache_text/https/cp1001: weight changed 10 => 0\n", ""},
			map[string]string{https: `{"weight": 0, "pooled": "yes"}`}},
		{"confctl pool inactive", Confctl, "pool --hostname cp2001", nil, ran{0, "codfw/cache_text/https/cp2001: pooled changed inactive => yes\n", ""},
			map[string]string{"pools/codfw/cache_text/https/cp2001": `{"weight": 10, "pooled": "yes"}`}},
		{"confctl depool nobody", Confctl, "depool --hostname cp100.", nil, ran{0, "", "no objects match name=cp100.\n"}, nil},
		{"confctl depool another type", Confctl, "--object-type discovery depool", nil, ran{1, "", "confctl: depool can only act on node objects\n"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := base()
			for k, v := range tt.extra {
				before[k] = v
			}
			w := newWorld(t, client, before)
			w.run(tt.program, strings.Fields(tt.args)...).wants(t, tt.want)
			w.wants(before, tt.changes)
		})
	}
}
