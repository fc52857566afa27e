package source

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-lb/sluice/internal/lb"
	"github.com/sluice-lb/sluice/internal/poolfile"
)

// The machine restarts while the store is away: the last good pool is there,
// stale, at the revision it had; the store's own word replaces it.
func TestKeptPoolOutlivesTheStore(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	dir := filepath.Join(t.TempDir(), "lbd")
	url := "etcd://" + r.etcd.Addr() + key
	r.put("127.0.0.1", `{"weight": 10, "pooled": "yes"}`)
	r.put("127.0.0.3", `{"weight": 0, "pooled": "inactive"}`)
	rev := r.put("127.0.0.2", `{"weight": 3, "pooled": "no"}`)
	heard, stop := followUntil(t, url, WithStateDir(dir))
	first := until(t, heard, func(h lb.Heard) bool { return h.Pool != nil })
	stop() // before the second is over: what was heard last is kept

	// The file is a pool file too.
	data, err := os.ReadFile(filepath.Join(dir, "pools", "web%2F80.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Servers json.RawMessage }
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	entries, problems := poolfile.Parse(file.Servers, poolfile.JSON)
	want := []poolfile.Entry{{Host: "127.0.0.1", Weight: 10, Enabled: true}, {Host: "127.0.0.2", Weight: 3}}
	if diff := cmp.Diff(want, entries); diff != "" || len(problems) > 0 {
		t.Errorf("%v\n%s", problems, diff)
	}

	if err := r.etcd.Close(); err != nil {
		t.Fatal(err)
	}
	heard, stop = followUntil(t, url, WithStateDir(dir))
	h := until(t, heard, func(lb.Heard) bool { return true })
	if text(h) != text(first) || h.Revision != rev || h.Pool.Revision != rev || h.At.IsZero() || time.Since(h.At) < 0 ||
		!strings.Contains(h.Err, "connection refused; using the pool kept at ") {
		t.Errorf("heard %+v", h)
	}
	if b, _ := h.Pool.Backend("127.0.0.2"); b.Revision != rev {
		t.Errorf("server at revision %d", b.Revision)
	}
	// More trouble is said without bringing the pool again.
	if h := until(t, heard, func(lb.Heard) bool { return true }); h.Pool != nil || h.Err == "" {
		t.Errorf("heard %+v", h)
	}
	stop()
	// A recalled pool does not pass for fresh at the next start.
	if again, err := os.ReadFile(filepath.Join(dir, "pools", "web%2F80.json")); string(again) != string(data) {
		t.Errorf("%v\n%s", err, again)
	}
	// Another source is another pool.
	heard, stop = followUntil(t, url+"other/", WithStateDir(dir))
	if h := until(t, heard, func(lb.Heard) bool { return true }); h.Pool != nil {
		t.Errorf("heard %+v", h)
	}
	stop()
}

func TestSourceThatSpeaksIsBelieved(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	dir := t.TempDir()
	url := "etcd://" + r.etcd.Addr() + key
	r.put("127.0.0.1", `{"weight": 10, "pooled": "yes"}`)
	heard, stop := followUntil(t, url, WithStateDir(dir))
	until(t, heard, func(h lb.Heard) bool { return h.Pool != nil })
	stop()
	r.put("127.0.0.1", `{"weight": 10, "pooled": "no"}`)
	heard, stop = followUntil(t, url, WithStateDir(dir))
	if h := until(t, heard, func(h lb.Heard) bool { return h.Pool != nil }); text(h) != "127.0.0.1@127.0.0.1 10 false" || h.Err != "" {
		t.Errorf("heard %+v", h)
	}
	stop()
}

// A file's revision is the same after a restart if the file is, and greater if
// it is not, whatever the clock says.
func TestLocalRevisionsOutliveTheProgram(t *testing.T) {
	t.Parallel()
	dir, path := t.TempDir(), filepath.Join(t.TempDir(), "pool")
	run := func(data string) lb.Heard {
		t.Helper()
		write(t, path, data)
		heard, stop := followUntil(t, "file://"+path, WithStateDir(dir))
		defer stop()
		return until(t, heard, func(h lb.Heard) bool { return h.Pool != nil })
	}
	first := run(one)
	if h := run("#\n" + one); h.Revision != first.Revision || h.Err != "" || !h.At.IsZero() {
		t.Errorf("heard %+v, want revision %d", h, first.Revision)
	}
	// As if the clock had been an hour ahead.
	kept := filepath.Join(dir, "pools", "web%2F80.json")
	ahead := time.Now().Add(time.Hour).UnixMicro()
	edit(t, kept, func(k *keptPool) { k.Revision = ahead })
	if h := run(two); h.Revision != ahead+1 {
		t.Errorf("revision %d, want %d", h.Revision, ahead+1)
	}
}

// Whatever stands in the state directory, it is never fatal.
func TestUnusableMemoryIsForgotten(t *testing.T) {
	svc := lb.Service{Name: "web/80", Source: "file:///pool"}
	good := keptPool{Service: svc.Name, Source: svc.Source, Revision: 1, Servers: map[string]keptServer{}}
	dir := t.TempDir()
	path := filepath.Join(dir, keptName(svc.Name))
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	put := func(k keptPool) {
		data, err := json.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, string(data))
	}
	put(good)
	if _, err := readKept(dir, svc); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(k *keptPool){
		"other service": func(k *keptPool) { k.Service = "x" },
		"other source":  func(k *keptPool) { k.Source = "x" },
		"no revision":   func(k *keptPool) { k.Revision = 0 },
		"no servers":    func(k *keptPool) { k.Servers = nil },
		"no host":       func(k *keptPool) { k.Servers = map[string]keptServer{"": {}} },
		"weight":        func(k *keptPool) { k.Servers = map[string]keptServer{"a": {Weight: -1}} },
	} {
		k := good
		spoil(&k)
		put(k)
		if _, err := readKept(dir, svc); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	write(t, path, "{\"service\": ")
	f, said := quietFollower()
	f.remember(dir)
	f.fail(errors.New("away"))
	if len(*said) != 1 || (*said)[0].Pool != nil || (*said)[0].Err != "away" {
		t.Errorf("said %v", *said)
	}
	// A place nothing can be written to is trouble in the log.
	f.declare([]byte(one), poolfile.Dict)
	if err := f.writeDown(os.DevNull); err == nil {
		t.Error("wrote into /dev/null")
	}
}

// A burst of changes is written once, a second later; silence at the start
// brings the kept pool after two.
func TestPaceOfMemory(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f, _ := quietFollower()
		ctx, cancel := context.WithCancel(t.Context())
		go f.keep(ctx, dir)
		f.declare([]byte(one), poolfile.Dict)
		path := filepath.Join(dir, keptName(f.svc.Name))
		time.Sleep(keepAfter - time.Millisecond)
		synctest.Wait()
		if _, err := os.Stat(path); err == nil {
			t.Error("written at once")
		}
		f.declare([]byte(two), poolfile.Dict)
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if data, err := os.ReadFile(path); err != nil || !strings.Contains(string(data), "127.0.0.2") {
			t.Errorf("%v: %s", err, data)
		}
		cancel()
		synctest.Wait()

		f, said := quietFollower()
		f.remember(dir)
		go f.recallLate(t.Context())
		time.Sleep(recallAfter)
		synctest.Wait()
		if len(*said) != 1 || (*said)[0].Pool == nil || !strings.HasPrefix((*said)[0].Err, "source silent for 2s; using the pool kept at") {
			t.Errorf("said %v", *said)
		}
	})
}

// Addresses that were kept serve until DNS speaks, and do not pass for known.
func TestKeptAddressesStandIn(t *testing.T) {
	n := newNames(nil, netip.MustParseAddr("192.0.2.1"))
	n.recall(map[string]netip.Addr{
		"a": netip.MustParseAddr("192.0.2.7"), "b": netip.MustParseAddr("2001:db8::1"), "c": {},
	})
	backends := []lb.Backend{{Host: "a"}, {Host: "b"}, {Host: "c"}, {Host: "d"}}
	n.fill(backends)
	if backends[0].Addr.String() != "192.0.2.7" || backends[1].Addr.IsValid() || backends[2].Addr.IsValid() || !n.missing() {
		t.Errorf("%v", backends)
	}
	// Of several addresses the one in use is preferred.
	n.lookup = func(_ context.Context, _, host string) ([]netip.Addr, error) {
		if host != "a" {
			return nil, errors.New("no such host")
		}
		return []netip.Addr{netip.MustParseAddr("192.0.2.5"), netip.MustParseAddr("192.0.2.7")}, nil
	}
	n.lookUp(t.Context(), func() {})
	n.fill(backends)
	if backends[0].Addr.String() != "192.0.2.7" || n.known["a"] != backends[0].Addr {
		t.Errorf("%v", backends)
	}
}

// An answer of DNS makes no silent source look alive.
func TestAddressesAreNoSignOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, said := quietFollower()
		heard := time.Now()
		f.declare([]byte(one), poolfile.Dict)
		f.fail(errors.New("away"))
		time.Sleep(time.Minute)
		f.readdress()
		if last := (*said)[2]; last.Pool == nil || !last.At.Equal(heard) || last.Err != "away" {
			t.Errorf("said %+v", last)
		}
	})
}

func edit(t *testing.T, path string, change func(*keptPool)) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var k keptPool
	if err := json.Unmarshal(data, &k); err != nil {
		t.Fatal(err)
	}
	change(&k)
	if data, err = json.Marshal(k); err != nil {
		t.Fatal(err)
	}
	write(t, path, string(data))
}
