package workflow

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-lb/sluice/pkg/lbverify"
	"github.com/sluice-lb/sluice/pkg/state"
)

func member(name string, alive bool, pools ...string) state.Member {
	m := state.Member{Name: name, Alive: alive, Status: []string{"http://" + name + ":9090"}}
	for i := 0; i+1 < len(pools); i += 2 {
		m.Pools = append(m.Pools, state.MemberPool{Pool: pools[i], Source: "/conftool/v1/pools/" + pools[i+1] + "/"})
	}
	return m
}

func TestMembershipPick(t *testing.T) {
	lb1 := member("lb1", true, "web_443", "eqiad/web/https", "web6_443", "eqiad/web/https", "api_80", "eqiad/api/http")
	lb2 := member("lb2", true, "web_443", "eqiad/web/https", "web_443", "eqiad/web/https")
	gone := member("lb3", false, "api_80", "eqiad/api/http", "dns_53", "codfw/dns/udp")
	one, two := lbverify.Balancer{Name: "lb1", URL: "http://lb1:9090"}, lbverify.Balancer{Name: "lb2", URL: "http://lb2:9090"}
	web := []Entry{
		{Pool: "web6_443", Cluster: "web", Service: "https", LBPools: []string{"web6_443"}, Balancers: []lbverify.Balancer{one}},
		{Pool: "web_443", Cluster: "web", Service: "https", LBPools: []string{"web_443"}, Balancers: []lbverify.Balancer{one, two}},
	}
	api := []Entry{{Pool: "api_80", Cluster: "api", Service: "http", LBPools: []string{"api_80"}, Balancers: []lbverify.Balancer{one}}}
	for _, c := range []struct {
		name    string
		names   []string
		without []string
		want    []Entry
		err     error
		says    string
	}{
		{name: "by the balancer's name, and all of the same place", names: []string{"web_443"}, want: web},
		{name: "by the tags, each once", names: []string{"eqiad/web/https", "web6_443"}, want: web},
		{name: "a balancer without life", names: []string{"api_80"}, err: ErrUnconfirmed, says: "lb3"},
		{name: "left out", names: []string{"api_80"}, without: []string{"lb3"}, want: api},
		{name: "all left out", names: []string{"api_80"}, without: []string{"lb1", "lb3"}, err: ErrUnconfirmed, says: "left out"},
		{name: "unknown", names: []string{"web_443", "web"}, err: ErrRefused, says: `"web"`},
		{name: "of another datacenter", names: []string{"codfw/dns/udp"}, err: ErrRefused, says: "dc=eqiad"},
		{name: "none", err: ErrRefused, says: "no pool named"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := Membership{Members: []state.Member{lb1, lb2, gone}, DC: "eqiad", Without: c.without}
			got, err := m.Pick(c.names)
			if !errors.Is(err, c.err) || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Fatalf("error %v, want %v with %q", err, c.err, c.says)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}
