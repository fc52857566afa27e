package source

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/sluice-lb/sluice/internal/devetcd"
	"github.com/sluice-lb/sluice/internal/lb"
)

const key = "/conftool/v1/pools/eqiad/web/https/"

func TestPoolSaysWhatTheStoreSays(t *testing.T) {
	r := newRig(t)
	r.put("127.0.0.1", `{"weight": 10, "pooled": "yes"}`)
	r.put("127.0.0.2", `{"weight": 0, "pooled": "no"}`)
	rev := r.put("127.0.0.3", `{"weight": 5, "pooled": "inactive"}`)
	heard := r.follow()
	h := until(t, heard, func(h lb.Heard) bool { return h.Pool != nil })
	if h.Revision != rev || h.Err != "" || h.Pool.Revision != rev {
		t.Errorf("heard %+v, want revision %d", h, rev)
	}
	if got, want := text(h), "127.0.0.1@127.0.0.1 10 true, 127.0.0.2@127.0.0.2 0 false"; got != want {
		t.Errorf("pool %q, want %q", got, want)
	}
	r.put("127.0.0.3", `{"weight": 5, "pooled": "yes"}`)
	until(t, heard, func(h lb.Heard) bool { return strings.Contains(text(h), "127.0.0.3@127.0.0.3 5 true") })
	r.delete("127.0.0.3")
	until(t, heard, func(h lb.Heard) bool { return h.Pool != nil && !strings.Contains(text(h), "127.0.0.3") })
}

// One unreadable value neither stops the pool nor changes the server it is of.
func TestMalformedValueKeepsTheServerAsItWas(t *testing.T) {
	r := newRig(t)
	r.put("127.0.0.1", `{"weight": 10, "pooled": "yes"}`)
	r.put("127.0.0.2", `{"weight": `)
	heard := r.follow()
	h := until(t, heard, func(h lb.Heard) bool { return h.Pool != nil })
	if text(h) != "127.0.0.1@127.0.0.1 10 true" || !strings.Contains(h.Err, "server 127.0.0.2: ") {
		t.Errorf("heard %q, %q", text(h), h.Err)
	}
	r.put("127.0.0.1", `{"pooled": "maybe"}`)
	h = until(t, heard, func(h lb.Heard) bool { return strings.Contains(h.Err, "127.0.0.1") })
	if text(h) != "127.0.0.1@127.0.0.1 10 true" {
		t.Errorf("heard %q, want the server as it was", text(h))
	}
	r.put("127.0.0.1", `{"weight": 3, "pooled": "yes"}`)
	r.delete("127.0.0.2")
	until(t, heard, func(h lb.Heard) bool { return h.Err == "" && text(h) == "127.0.0.1@127.0.0.1 3 true" })
}

// Nobody means to take the last server away with the pool: an empty store is
// trouble, at the start as well as later, and never a pool.
func TestEmptyIsNeverAPool(t *testing.T) {
	r := newRig(t)
	heard := r.follow()
	h := <-heard
	if h.Pool != nil || !strings.Contains(h.Err, "no servers declared under") {
		t.Errorf("heard %+v", h)
	}
	r.put("127.0.0.1", `{"weight": 10, "pooled": "yes"}`)
	until(t, heard, func(h lb.Heard) bool { return h.Pool != nil && h.Err == "" })
	r.delete("127.0.0.1")
	h = until(t, heard, func(h lb.Heard) bool { return h.Err != "" })
	if h.Pool != nil || !strings.Contains(h.Err, "keeping the last 1") {
		t.Errorf("heard %+v", h)
	}
	// Quiet does not mend it.
	h = until(t, heard, func(lb.Heard) bool { return true })
	if h.Err == "" {
		t.Errorf("heard %+v, want the trouble to last", h)
	}
}

func TestAllInactiveIsAnEmptyPool(t *testing.T) {
	r := newRig(t)
	r.put("127.0.0.1", `{"weight": 10, "pooled": "inactive"}`)
	h := until(t, r.follow(), func(h lb.Heard) bool { return h.Pool != nil })
	if len(h.Pool.Backends) != 0 || h.Err != "" {
		t.Errorf("heard %+v", h)
	}
}

func TestStoreAwayIsTrouble(t *testing.T) {
	r := newRig(t)
	r.put("127.0.0.1", `{"weight": 10, "pooled": "yes"}`)
	heard := r.follow()
	until(t, heard, func(h lb.Heard) bool { return h.Pool != nil })
	if err := r.etcd.Close(); err != nil {
		t.Fatal(err)
	}
	h := until(t, heard, func(h lb.Heard) bool { return h.Err != "" })
	if h.Pool != nil || strings.Contains(h.Err, "\n") {
		t.Errorf("heard %+v", h)
	}
}

func TestCheckRefusesOtherURLs(t *testing.T) {
	for url, want := range map[string]string{
		"etcd://127.0.0.1:2379/a/b/": "",
		"etcd://etcd.example/a":      "",
		"file:///etc/pool":           "",
		"file:///etc/po%20ol#?":      "",
		"file://etc/pool":            "wants the absolute path",
		"file:///etc/":               "wants the absolute path",
		"http://h/pool.json?x=1":     "",
		"HTTPS://h:8443/":            "",
		"http:///pool":               "http:// names no host",
		"https://u:p@h/a":            "and nothing else",
		"http://h:0/a":               `"0" is not a port`,
		"k8s://t@h/":                 "k8s:// sources are not supported yet",
		"etcd:/h/a":                  "is not the URL of a source",
		"pool":                       `"pool" is not the URL of a source`,
		"etcd:///a/b":                "etcd:// names no host",
		"etcd://h:2379/":             "etcd:// names no key",
		"etcd://h:x/a":               "invalid port",
		"etcd://h:70000/a":           `"70000" is not a port`,
		"etcd://u:p@h/a":             "and nothing else",
	} {
		err := Check(url)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
}

func TestParseHosts(t *testing.T) {
	hosts, err := ParseHosts(strings.NewReader("# site\n192.0.2.1 a.example A.alias\n2001:db8::1 a.example # v6\n\n"))
	if err != nil || fmt.Sprint(hosts) != "map[a.alias:[192.0.2.1] a.example:[192.0.2.1 2001:db8::1]]" {
		t.Errorf("%v, %v", hosts, err)
	}
	if _, err := ParseHosts(strings.NewReader("192.0.2.1 a\nnonsense b\n")); err == nil || !strings.HasPrefix(err.Error(), "line 2: ") {
		t.Errorf("error %v", err)
	}
}

// Names are looked up while the pool is already known; a slow one delays only
// itself, and an address once known outlives DNS.
func TestNamesAreResolvedOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken bool
		n := newNames(Hosts{"fixed": {netip.MustParseAddr("192.0.2.9")}}, netip.MustParseAddr("192.0.2.1"))
		n.lookup = func(ctx context.Context, network, host string) ([]netip.Addr, error) {
			if host == "slow" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			if broken {
				return nil, errors.New("dns is away")
			}
			return []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("192.0.2.5")}, nil
		}
		backends := []lb.Backend{{Host: "fast"}, {Host: "fixed"}, {Host: "slow"}, {Host: "192.0.2.77"}, {Host: "2001:db8::1"}}
		n.fill(backends)
		if backends[1].Addr.String() != "192.0.2.9" || backends[3].Addr.String() != "192.0.2.77" || backends[0].Addr.IsValid() {
			t.Errorf("before any query: %v", backends)
		}
		learned := make(chan struct{}, 10)
		start := time.Now()
		n.lookUp(t.Context(), func() {
			if time.Since(start) > 0 {
				t.Error("the fast name waited for the slow one")
			}
			learned <- struct{}{}
		})
		if len(learned) != 1 || time.Since(start) != lookupTimeout || !n.missing() {
			t.Errorf("learned %d in %s", len(learned), time.Since(start))
		}
		broken = true
		n.lookUp(t.Context(), func() { t.Error("learned something from a broken DNS") })
		n.fill(backends)
		if backends[0].Addr.String() != "192.0.2.5" || backends[2].Addr.IsValid() || backends[4].Addr.IsValid() {
			t.Errorf("afterwards: %v", backends)
		}
	})
}

func FuzzParseHosts(f *testing.F) {
	f.Add("127.0.0.1 localhost\n")
	f.Add("::1 a b # c\n\n#\n")
	f.Fuzz(func(t *testing.T, text string) {
		hosts, err := ParseHosts(strings.NewReader(text))
		if err == nil {
			for name, addrs := range hosts {
				if name == "" || len(addrs) == 0 {
					t.Errorf("%q: %v", name, addrs)
				}
			}
		}
	})
}

// rig is a store and a client beside the source under test.
type rig struct {
	t      *testing.T
	etcd   *devetcd.Server
	client *clientv3.Client
}

func newRig(t *testing.T) *rig {
	t.Helper()
	etcd, err := devetcd.Start(devetcd.Options{})
	if err != nil {
		t.Fatal(err)
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{etcd.Endpoint()}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = client.Close()
		_ = etcd.Close()
	})
	return &rig{t: t, etcd: etcd, client: client}
}

func (r *rig) put(host, value string) int64 {
	r.t.Helper()
	resp, err := r.client.Put(r.t.Context(), key+host, value)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.Header.Revision
}

func (r *rig) delete(host string) {
	r.t.Helper()
	if _, err := r.client.Delete(r.t.Context(), key+host); err != nil {
		r.t.Fatal(err)
	}
}

// follow follows the pool for the length of the test.
func (r *rig) follow() <-chan lb.Heard {
	ctx, cancel := context.WithCancel(context.Background())
	heard := make(chan lb.Heard, 1000)
	s := New(slog.New(slog.DiscardHandler), nil)
	svc := lb.Service{Name: "web", VIP: netip.MustParseAddrPort("192.0.2.1:443"), Source: "etcd://" + r.etcd.Addr() + key}
	done := make(chan error, 1)
	go func() { done <- s.Follow(ctx, svc, func(h lb.Heard) { heard <- h }) }()
	r.t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, s.Close()); err != nil {
			r.t.Error(err)
		}
	})
	return heard
}

func until(t *testing.T, heard <-chan lb.Heard, ok func(lb.Heard) bool) lb.Heard {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case h := <-heard:
			if ok(h) {
				return h
			}
		case <-deadline:
			t.Fatal("waited in vain")
		}
	}
}

func text(h lb.Heard) string {
	if h.Pool == nil {
		return ""
	}
	var parts []string
	for _, b := range h.Pool.Backends {
		parts = append(parts, fmt.Sprintf("%s@%s %d %t", b.Host, b.Addr, b.Weight, b.Enabled))
	}
	return strings.Join(parts, ", ")
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
