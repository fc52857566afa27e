package source

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-lb/sluice/internal/lb"
	"github.com/sluice-lb/sluice/internal/poolfile"
)

const (
	one = "{'host': '127.0.0.1', 'weight': 10, 'enabled': True}\n"
	two = one + "{'host': '127.0.0.2', 'weight': 3, 'enabled': False}\n"
)

func TestFileIsFollowed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "later", "pool")
	heard := followURL(t, "file://"+path)
	h := until(t, heard, func(h lb.Heard) bool { return h.Err != "" })
	if h.Pool != nil || h.Revision != 0 || !strings.Contains(h.Err, "read pool file "+path+": no such file or directory") {
		t.Errorf("heard %+v", h)
	}
	// The directory comes later than the source.
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, path, one)
	first := until(t, heard, func(h lb.Heard) bool { return h.Pool != nil })
	if text(first) != "127.0.0.1@127.0.0.1 10 true" || first.Err != "" || first.Revision <= 1<<40 {
		t.Errorf("heard %+v", first)
	}
	// Replaced atomically: another file, the kernel tells.
	if _, err := poolfile.Replace(path, []byte(two)); err != nil {
		t.Fatal(err)
	}
	second := until(t, heard, func(h lb.Heard) bool { return h.Pool != nil })
	if text(second) != "127.0.0.1@127.0.0.1 10 true, 127.0.0.2@127.0.0.2 3 false" || second.Revision <= first.Revision {
		t.Errorf("heard %+v", second)
	}
	b1, _ := second.Pool.Backend("127.0.0.1")
	b2, _ := second.Pool.Backend("127.0.0.2")
	if b1.Revision != first.Revision || b2.Revision != second.Revision {
		t.Errorf("revisions of servers: %d, %d", b1.Revision, b2.Revision)
	}
	// Gone: trouble, and no sign of life.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	h = until(t, heard, func(h lb.Heard) bool { return h.Err != "" })
	if h.Pool != nil || h.Revision != 0 {
		t.Errorf("heard %+v", h)
	}
	// Back with the same contents: no new pool, the same revision.
	write(t, path, two)
	h = until(t, heard, func(h lb.Heard) bool { return h.Err == "" })
	if h.Pool != nil || h.Revision != second.Revision {
		t.Errorf("heard %+v", h)
	}
}

// What is no pool never replaces one.
func TestFileThatIsNoPoolIsTrouble(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]struct{ text, want string }{
		"empty":     {"", "no servers declared any more under file://"},
		"comments":  {"# nobody\n", "no servers declared any more"},
		"garbage":   {"<html>\n", "not a Python literal"},
		"cut off":   {one + "{'host': '127.0.", "line 2: ends in the middle"},
		"too large": {one + strings.Repeat("#", maxText), "larger than 8 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "pool")
			write(t, path, two)
			heard := followURL(t, "file://"+path)
			until(t, heard, func(h lb.Heard) bool { return h.Pool != nil })
			write(t, path, bad.text)
			h := until(t, heard, func(h lb.Heard) bool { return h.Err != "" })
			if h.Pool != nil || h.Revision != 0 || !strings.Contains(h.Err, bad.want) {
				t.Errorf("heard %+v", h)
			}
			write(t, path, one)
			h = until(t, heard, func(h lb.Heard) bool { return h.Pool != nil })
			if text(h) != "127.0.0.1@127.0.0.1 10 true" || h.Err != "" {
				t.Errorf("heard %+v", h)
			}
		})
	}
}

// A bad line beside good ones: its server stays as it was, if it was, and the
// trouble lasts as long as the line.
func TestBadLineKeepsTheServerAsItWas(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pool")
	write(t, path, two)
	heard := followURL(t, "file://"+path)
	until(t, heard, func(h lb.Heard) bool { return h.Pool != nil })
	write(t, path, "{'host': '127.0.0.1', 'weight': 7, 'enabled': True}\n{'host': '127.0.0.2', 'enabled': True}\n{'host': '127.0.0.3'}\n")
	h := until(t, heard, func(h lb.Heard) bool { return h.Pool != nil })
	if text(h) != "127.0.0.1@127.0.0.1 7 true, 127.0.0.2@127.0.0.2 3 false" || !strings.Contains(h.Err, "line 2: server 127.0.0.2: no weight; line 3: server 127.0.0.3: no weight") {
		t.Errorf("heard %q, %q", text(h), h.Err)
	}
	if again := until(t, heard, func(lb.Heard) bool { return true }); again.Err != h.Err || again.Revision != h.Revision {
		t.Errorf("a second later: %+v", again)
	}
}

// A file that is being written in place is left alone until it is whole, a
// file that may have been swapped unnoticed is read again, and a pipe is not
// opened at all.
func TestFileIsReadWhenItHasSettled(t *testing.T) {
	f, said := quietFollower()
	path := filepath.Join(t.TempDir(), "pool")
	write(t, path, one)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	written := info.ModTime()
	r := fileReader{path: path}
	if wait := r.look(f, written.Add(10*time.Millisecond)); wait != 40*time.Millisecond || len(*said) != 0 {
		t.Errorf("wait %s, said %v", wait, *said)
	}
	if wait := r.look(f, written.Add(settle)); wait != pollEvery || len(*said) != 1 || (*said)[0].Pool == nil {
		t.Errorf("wait %s, said %v", wait, *said)
	}
	// The same size at the same time.
	write(t, path, strings.Replace(one, "10", "11", 1))
	if err := os.Chtimes(path, written, written); err != nil {
		t.Fatal(err)
	}
	r.look(f, written.Add(time.Second))
	if last := (*said)[len(*said)-1]; last.Pool != nil || last.Err != "" {
		t.Errorf("said %+v", last)
	}
	r.look(f, written.Add(settle+rereadAfter))
	if last := (*said)[len(*said)-1]; text(last) != "127.0.0.1@127.0.0.1 11 true" {
		t.Errorf("said %+v", last)
	}
	r = fileReader{path: os.DevNull}
	r.look(f, time.Now())
	if last := (*said)[len(*said)-1]; !strings.Contains(last.Err, "not a regular file") {
		t.Errorf("said %+v", last)
	}
	// Missing between two looks of a writer that unlinks first: no trouble yet.
	r, now := fileReader{path: path + "x"}, time.Now()
	n := len(*said)
	if wait := r.look(f, now); wait != settle || len(*said) != n {
		t.Errorf("wait %s, said %v", wait, (*said)[n:])
	}
	if r.look(f, now.Add(settle)); len(*said) != n+1 {
		t.Error("missing for good, and nothing said")
	}
}

// Revisions of a local source grow even where the clock does not.
func TestLocalRevisionsGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, said := quietFollower()
		for _, data := range []string{one, two, one} {
			f.declare([]byte(data), poolfile.Dict)
		}
		s := *said
		if len(s) != 3 || s[0].Revision != time.Now().UnixMicro() || s[1].Revision != s[0].Revision+1 || s[2].Revision != s[1].Revision+1 {
			t.Errorf("said %v", s)
		}
		if f.declare([]byte("# other words, same pool\n"+one), poolfile.Dict); (*said)[3].Pool != nil || (*said)[3].Revision != s[2].Revision {
			t.Errorf("said %+v", (*said)[3])
		}
	})
}

// web is a server whose answer a test chooses.
type web struct {
	mu     sync.Mutex
	answer http.HandlerFunc
	tags   int // requests with If-None-Match
}

func (w *web) set(answer http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = answer
}

func (w *web) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	answer := w.answer
	if r.Header.Get("If-None-Match") != "" {
		w.tags++
	}
	w.mu.Unlock()
	answer(rw, r)
}

func says(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		tag := fmt.Sprintf(`"%d"`, len(body))
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("ETag", tag)
		fmt.Fprint(w, body)
	}
}

func TestWebIsFollowed(t *testing.T) {
	t.Parallel()
	w := &web{answer: says(two)}
	server := httptest.NewServer(w)
	defer server.Close()
	heard := followURL(t, server.URL+"/pybal/eqiad/web")
	first := until(t, heard, func(h lb.Heard) bool { return h.Pool != nil })
	if text(first) != "127.0.0.1@127.0.0.1 10 true, 127.0.0.2@127.0.0.2 3 false" {
		t.Errorf("heard %+v", first)
	}
	h := until(t, heard, func(lb.Heard) bool { return true })
	if w.mu.Lock(); h.Pool != nil || h.Revision != first.Revision || w.tags == 0 {
		t.Errorf("not modified: heard %+v, asked with a tag %d times", h, w.tags)
	}
	w.mu.Unlock()
	reset := func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
	}
	cut := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, one)
	}
	for _, bad := range []struct {
		want   string
		answer http.HandlerFunc
	}{
		{"HTTP status 404", http.NotFound},
		// An answer only to those who asked with a tag, which is over.
		{"HTTP status 304", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) }},
		{"HTTP status 500", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, one, http.StatusInternalServerError) }},
		{"HTTP status 302", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/else", http.StatusFound) }},
		{"reset by peer", reset},
		{"unexpected EOF", cut},
		{"any more under", says("")},
		{"not a Python", says("<html>moved</html>\n")},
		{"larger than", says(one + strings.Repeat("#", maxText))},
	} {
		w.set(bad.answer)
		h := until(t, heard, func(h lb.Heard) bool { return strings.Contains(h.Err, bad.want) })
		if h.Pool != nil || h.Revision != 0 {
			t.Errorf("%s: heard %+v", bad.want, h)
		}
	}
	w.set(says(one))
	h = until(t, heard, func(h lb.Heard) bool { return h.Pool != nil })
	if text(h) != "127.0.0.1@127.0.0.1 10 true" || h.Err != "" || h.Revision <= first.Revision {
		t.Errorf("heard %+v", h)
	}
}

func TestWebJSONByTheNameOfThePath(t *testing.T) {
	server := httptest.NewServer(says(`{"127.0.0.1": {}}`))
	defer server.Close()
	h := until(t, followURL(t, server.URL+"/pool.json?dc=eqiad"), func(lb.Heard) bool { return true })
	if text(h) != "127.0.0.1@127.0.0.1 10 true" {
		t.Errorf("heard %+v", h)
	}
	server.Close()
	h = until(t, followURL(t, server.URL+"/pool.json"), func(lb.Heard) bool { return true })
	if !strings.Contains(h.Err, "connection refused") {
		t.Errorf("heard %+v", h)
	}
}

func TestWebTLSIsVerified(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(says(one))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	server.StartTLS()
	defer server.Close()
	h := until(t, followURL(t, server.URL+"/pool"), func(lb.Heard) bool { return true })
	if h.Pool != nil || !strings.Contains(h.Err, "certificate signed by unknown authority") {
		t.Errorf("heard %+v", h)
	}
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	h = until(t, followURL(t, server.URL+"/pool", WithRoots(roots)), func(lb.Heard) bool { return true })
	if h.Pool == nil || h.Err != "" {
		t.Errorf("heard %+v", h)
	}
}

// A server that never answers costs its time and no more.
func TestWebTimeout(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	begin := time.Now()
	h := until(t, followURL(t, server.URL+"/pool"), func(lb.Heard) bool { return true })
	if took := time.Since(begin); h.Err == "" || took < webTimeout || took > 2*webTimeout {
		t.Errorf("heard %+v after %s", h, took)
	}
}

// followURL follows a source for the length of the test.
func followURL(t *testing.T, source string, with ...Option) <-chan lb.Heard {
	t.Helper()
	heard, stop := followUntil(t, source, with...)
	t.Cleanup(stop)
	return heard
}

func followUntil(t *testing.T, source string, with ...Option) (heard <-chan lb.Heard, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := make(chan lb.Heard, 1000)
	s := New(slog.New(slog.DiscardHandler), nil, with...)
	svc := lb.Service{Name: "web/80", VIP: netip.MustParseAddrPort("192.0.2.1:443"), Source: source}
	done := make(chan error, 1)
	go func() { done <- s.Follow(ctx, svc, func(h lb.Heard) { c <- h }) }()
	return c, sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-done, s.Close()); err != nil {
			t.Error(err)
		}
	})
}

// quietFollower is one nobody feeds but the test.
func quietFollower() (f *follower, said *[]lb.Heard) {
	said = new([]lb.Heard)
	svc := lb.Service{Name: "web/80", VIP: netip.MustParseAddrPort("192.0.2.1:443"), Source: "file:///pool"}
	names := newNames(nil, svc.VIP.Addr())
	return newFollower(svc, slog.New(slog.DiscardHandler), names, func(h lb.Heard) { *said = append(*said, h) }), said
}

func write(t *testing.T, path, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}
