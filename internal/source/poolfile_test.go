package source

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sluice-lb/sluice/internal/lb"
	"github.com/sluice-lb/sluice/internal/poolfile"
)

// drawPool draws a pool of at least one server, sorted by host.
func drawPool(t *rapid.T) []poolfile.Entry {
	host := rapid.OneOf(rapid.StringMatching(`[a-z0-9.-]{1,20}`), rapid.StringN(1, 10, 40)).
		Filter(func(s string) bool { return poolfile.CheckHost(s) == nil })
	return rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) poolfile.Entry {
		return poolfile.Entry{
			Host: host.Draw(t, "host"), Weight: rapid.IntRange(0, poolfile.MaxWeight).Draw(t, "weight"), Enabled: rapid.Bool().Draw(t, "enabled"),
		}
	}), 1, 20, func(e poolfile.Entry) string { return e.Host }).Draw(t, "pool")
}

// heardAs returns the pool that was last heard, as entries by host.
func heardAs(said []lb.Heard) map[string]poolfile.Entry {
	all := map[string]poolfile.Entry{}
	for _, h := range said {
		if h.Pool == nil {
			continue
		}
		clear(all)
		for _, b := range h.Pool.Backends {
			all[b.Host] = poolfile.Entry{Host: b.Host, Weight: b.Weight, Enabled: b.Enabled}
		}
	}
	return all
}

// What is written is what both readers hear: any pool, in either form, from a
// file and from a web server.
func TestWrittenPoolsAreHeardAsTheyAre(t *testing.T) {
	dir := t.TempDir()
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer server.Close()
	rapid.Check(t, func(t *rapid.T) {
		pool := drawPool(t)
		want := map[string]poolfile.Entry{}
		for _, e := range pool {
			want[e.Host] = e
		}
		for form, name := range map[poolfile.Form]string{poolfile.Dict: "pool", poolfile.JSON: "pool.json"} {
			var text bytes.Buffer
			if err := poolfile.Write(&text, pool, form); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, name)
			if _, err := poolfile.Replace(path, text.Bytes()); err != nil {
				t.Fatal(err)
			}
			f, said := quietFollower()
			r := fileReader{path: path}
			r.look(f, time.Now().Add(settle))
			if diff := cmp.Diff(want, heardAs(*said)); diff != "" {
				t.Fatalf("%s from a file: %s%+v", form, diff, *said)
			}
			u, err := url.Parse(fmt.Sprint(server.URL, "/", name))
			if err != nil {
				t.Fatal(err)
			}
			f, said = quietFollower()
			page := webPage{client: server.Client(), url: u}
			if err := page.get(context.Background(), f); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, heardAs(*said)); diff != "" {
				t.Fatalf("%s from a web server: %s%+v", form, diff, *said)
			}
		}
	})
}
