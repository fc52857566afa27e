package generate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/sluice-lb/sluice/pkg/state"
)

// samples reads metrics as Prometheus does: the values by name and labels.
func samples(t *testing.T, text []byte) map[string]float64 {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	all := map[string]float64{}
	for name, f := range families {
		if f.GetHelp() == "" || !strings.HasPrefix(name, "sluice_generate_") {
			t.Errorf("%s: help %q", name, f.GetHelp())
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			value := m.GetGauge().GetValue()
			if strings.HasSuffix(name, "_total") {
				value = m.GetCounter().GetValue()
			}
			all[strings.TrimPrefix(name, "sluice_generate_")+"{"+strings.Join(labels, ",")+"}"] = value
		}
	}
	return all
}

func TestMetricsAreWhatPrometheusReads(t *testing.T) {
	odd := "/a \"b\"\\c\nd\xff{}"
	s := &Status{out: odd, Files: []FileStatus{{File: odd, Changes: 3, LastError: time.UnixMilli(1_700_000_000_250)}}}
	s.Hooks.CheckFailures = 2
	got := samples(t, s.metrics())
	label := fmt.Sprintf("%q", strings.ToValidUTF8(odd, "\uFFFD"))
	want := map[string]float64{
		"file_healthy{file=" + label + "}":                       0,
		"file_last_error_timestamp_seconds{file=" + label + "}":  1_700_000_000.25,
		"file_changes_total{file=" + label + "}":                 3,
		"store_stale{out=" + label + "}":                         0,
		"store_contact_timestamp_seconds{out=" + label + "}":     0,
		"last_success_timestamp_seconds{out=" + label + "}":      0,
		"hook_failures_total{out=" + label + ",hook=\"check\"}":  2,
		"hook_failures_total{out=" + label + ",hook=\"reload\"}": 0,
		"reload_due{out=" + label + "}":                          0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// figures are what a metrics file says, without the directory and the kind of
// label.
func figures(t *testing.T, file, dir string) map[string]float64 {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for name, v := range samples(t, text) {
		name = strings.NewReplacer(dir+"/", "", `file="`, "", `out="`+dir+`"`, "", `,hook=`, "", `"`, "").Replace(name)
		got[name] = v
	}
	return got
}

// The metrics tell of a file in trouble and of a store that is away, and for
// how long.
func TestMetricsTellOfTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "generate.prom")
		f := follow(t, func(e *Engine) {
			e.MetricsFile = file
			e.Check = Hook{"grep", "-q", "True"}
		})
		var want map[string]float64
		since := func(changes map[string]float64) {
			t.Helper()
			maps.Copy(want, changes)
			if diff := cmp.Diff(want, figures(t, file, f.dir)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		start := time.Now()
		at := func() float64 {
			return float64(time.Since(start).Milliseconds())/1000 + float64(start.UnixMilli())/1000
		}
		f.says(state.Event{Err: errors.New("away")})
		f.after(time.Millisecond, "store: away")
		want = map[string]float64{
			"store_stale{}": 1, "store_contact_timestamp_seconds{}": 0, "last_success_timestamp_seconds{}": 0,
			"hook_failures_total{check}": 0, "hook_failures_total{reload}": 0, "reload_due{}": 0,
		}
		since(nil)
		time.Sleep(time.Second)
		f.says(nodes("dc1/web/http/be1", up))
		heard := at()
		f.after(settleAfter, "dc1/http: 1 hosts\nstore: <nil>")
		since(map[string]float64{
			"store_stale{}": 0, "store_contact_timestamp_seconds{}": heard, "last_success_timestamp_seconds{}": at(),
			"file_healthy{dc1/http}": 1, "file_last_error_timestamp_seconds{dc1/http}": 0, "file_changes_total{dc1/http}": 1,
		})
		time.Sleep(time.Second)
		f.says(nodes("dc1/web/http/be1", down))
		heard = at()
		f.after(settleAfter, "dc1/http: replace DIR/dc1/http: check: grep: exit status 1")
		since(map[string]float64{
			"store_contact_timestamp_seconds{}": heard, "hook_failures_total{check}": 1,
			"file_healthy{dc1/http}": 0, "file_last_error_timestamp_seconds{dc1/http}": at(),
		})
		f.says(nodes("dc1/web/http/be1", strings.Replace(up, "10", "11", 1)))
		heard = at()
		f.after(settleAfter, "dc1/http: 1 hosts\ndc1/http: <nil>")
		since(map[string]float64{
			"store_contact_timestamp_seconds{}": heard, "last_success_timestamp_seconds{}": at(),
			"file_healthy{dc1/http}": 1, "file_changes_total{dc1/http}": 2,
		})
		f.end()
	})
}

// Two programs' metrics can lie side by side.
func TestMetricsOfTwoProgramsDoNotMeet(t *testing.T) {
	e, _, dir := newPyBal(t)
	pass(t, e, nodes("dc1/web/http/be1", up).Snapshot.Entries)
	first := slices.Collect(maps.Keys(samples(t, e.publish().metrics())))
	e, _, _ = newPyBal(t)
	pass(t, e, nodes("dc1/web/http/be1", up).Snapshot.Entries)
	for name := range samples(t, e.publish().metrics()) {
		if slices.Contains(first, name) {
			t.Errorf("%s is in both (%s)", name, dir)
		}
	}
}

// get asks an engine's web server.
func get(t *testing.T, e *Engine, path string, headers ...string) (*http.Response, string) {
	t.Helper()
	req := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	e.handler().ServeHTTP(w, req)
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), string(body)
}

func TestStatusNamesFilesInTrouble(t *testing.T) {
	e, said, dir := newPyBal(t)
	e.contact = time.Now()
	if err := os.Mkdir(filepath.Join(dir, "dc1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("elsewhere", filepath.Join(dir, "dc1/ssh")); err != nil {
		t.Fatal(err)
	}
	pass(t, e, nodes("dc1/web/http/be1", up, "dc1/web/ssh/be1", up).Snapshot.Entries)
	e.publish()
	resp, body := get(t, e, "/status")
	var s Status
	if err := json.Unmarshal([]byte(body), &s); err != nil || resp.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%v: %s", err, body)
	}
	if s.Healthy || s.Store.Stale || len(s.Files) != 2 || !s.Files[0].Healthy || s.Files[0].Changes != 1 ||
		s.Files[1].Error != "read dc1/ssh: not a regular file" || s.Files[1].LastError.IsZero() {
		t.Errorf("told %q\n%s", said.take(), body)
	}
	if resp, body := get(t, e, "/metrics"); resp.Header.Get("Content-Type") != "text/plain; version=0.0.4; charset=utf-8" || len(samples(t, []byte(body))) < 10 {
		t.Errorf("%s\n%s", resp.Header, body)
	}
}

// A program that has heard the store and looked at no file yet is not healthy.
func TestStatusBeforeTheFirstPass(t *testing.T) {
	e, _, _ := newPyBal(t)
	e.contact = time.Now()
	if s := e.publish(); s.Healthy || s.Store.Stale {
		t.Errorf("%+v", s)
	}
	pass(t, e, nodes("dc1/web/http/be1", up).Snapshot.Entries)
	if s := e.publish(); !s.Healthy {
		t.Errorf("%+v", s)
	}
}

// The served file has the tag of its contents, and is no other file.
func TestServedTemplate(t *testing.T) {
	e, said, dir := templated(t, map[string]string{"f.json": `{"n": {{len (objects "geodns")}}}`})
	if got := once(t, e, said, dir, treeStore{"geodns/a/b": "{}"}); got != "DIR/f.json: 1 lines" {
		t.Errorf("told %q", got)
	}
	resp, body := get(t, e, "/template"+dir+"/f.json")
	if tag := resp.Header.Get("ETag"); resp.StatusCode != http.StatusOK || body != `{"n": 1}` || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %q %s", resp.StatusCode, body, resp.Header)
	} else if resp, _ := get(t, e, "/template"+dir+"/f.json", "If-None-Match", tag); resp.StatusCode != http.StatusNotModified {
		t.Errorf("with its tag: %d", resp.StatusCode)
	}
	for _, path := range []string{"/template/f.json", "/template" + dir + "/g", "/template/etc/passwd", "/", "/pybal/dc1/http"} {
		if resp, _ := get(t, e, path); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}

// A dry run tells what would be, and leaves everything as it is.
func TestDryRun(t *testing.T) {
	e, said, dir := newPyBal(t)
	e.Check, e.Reload = Hook{"touch", filepath.Join(dir, "checked")}, Hook{"touch", filepath.Join(dir, "reloaded")}
	dry := func(store treeStore) (string, bool) {
		t.Helper()
		e.Store = store
		var b strings.Builder
		ok, err := e.DryRun(t.Context(), &b)
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(b.String()+said.take(), dir, "DIR"), ok
	}
	if got, ok := dry(treeStore{"pools/dc1/web/http/be1": up}); !ok || got != `diff /dev/null DIR/dc1/http
--- /dev/null
+++ DIR/dc1/http
@@ -0,0 +1,2 @@
+# Generated by confctl from dc1/web/http; edits are lost.
+{ 'host': 'be1', 'weight':10, 'enabled': True }
` {
		t.Errorf("%t\n%s", ok, got)
	}
	left := filepath.Join(dir, "dc1/.http.ABCDEFGH")
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "dc1"), 0o755), os.WriteFile(left, nil, 0o644),
		os.WriteFile(filepath.Join(dir, "dc1/http"), []byte("{'host': 'be1', 'weight': 1, 'enabled': True}"), 0o644)); err != nil {
		t.Fatal(err)
	}
	if got, ok := dry(treeStore{"pools/dc1/web/http/be1": down}); !ok || !strings.Contains(got, "\n-{'host': 'be1', 'weight': 1, 'enabled': True}\n\\ No newline") || !strings.Contains(got, "--- DIR/dc1/http\n") {
		t.Errorf("%t\n%s", ok, got)
	}
	if got, ok := dry(treeStore{"pools/dc1/web/http/be1": `{"pooled": "inactive"}`}); ok || got != "dc1/http: nobody would be left of 1: kept as it is without --allow-empty" {
		t.Errorf("%t\n%s", ok, got)
	}
	if files := slices.Sorted(maps.Keys(identities(t, dir))); !slices.Equal(files, []string{"dc1/.http.ABCDEFGH", "dc1/http"}) {
		t.Errorf("left %q", files)
	}
}
