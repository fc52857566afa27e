package health

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-lb/sluice/internal/lb"
)

// once runs one ProxyFetch check against a real address.
func once(t testing.TB, to netip.AddrPort, options ...string) result {
	t.Helper()
	c, err := compile(monitorOf("ProxyFetch", options...))
	if err != nil {
		t.Fatal(err)
	}
	fetch := c.check.(fetchCheck)
	return fetch.once(t.Context(), probeOf(to, nil), fetch.look)
}

// ask reads a request up to its end.
func ask(conn net.Conn) string {
	var request strings.Builder
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadString('\n')
		request.WriteString(line)
		if err != nil || line == "\r\n" {
			return request.String()
		}
	}
}

// answer says text to every request, then closes.
func answer(text string) func(net.Conn) {
	return func(conn net.Conn) {
		ask(conn)
		io.WriteString(conn, text)
	}
}

// Cases C41 and C42.
func TestFetchStatus(t *testing.T) {
	for _, tt := range []struct {
		wanted string
		up     []int
		down   []int
	}{
		{"200", []int{200, 201, 202}, []int{203, 204, 206, 301, 302, 303, 304, 307, 308, 404, 500}},
		{"201", []int{200, 201, 202}, []int{204, 301}},
		{"302", []int{301, 302, 303}, []int{200, 204, 307, 404}},
		{"404", []int{404}, []int{200, 500}},
		{"204", []int{204}, []int{200}},
		{"200,204", []int{200, 204}, []int{201, 202, 203, 301}},
		{"200-299", []int{200, 201, 206, 299}, []int{300, 304, 500}},
		{"301, 400-404", []int{301, 400, 404}, []int{200, 302, 405}},
	} {
		check := func(code int, state lb.State) {
			b := listen(t, "127.0.0.1:0", answer(fmt.Sprintf(
				"HTTP/1.1 %d Whatever\r\nLocation: /away\r\nConnection: close\r\n\r\n", code)))
			got := once(t, b.addr, "url", "http://en.example/", "http_status", tt.wanted)
			if got.state != state {
				t.Errorf("wanted %s, got %d: %v %q, want %v", tt.wanted, code, got.state, got.reason, state)
			}
			if text := http.StatusText(code); state == lb.Down && got.reason != fmt.Sprintf("%d %s", code, text) {
				t.Errorf("reason for %d is %q", code, got.reason)
			}
			if n := b.accepted.Load(); n != 1 {
				t.Errorf("%d connections for one check of a %d", n, code)
			}
		}
		for _, code := range tt.up {
			check(code, lb.Up)
		}
		for _, code := range tt.down {
			check(code, lb.Down)
		}
	}
}

// Case C44: to the server's address and port, in the URL's name.
func TestFetchRequest(t *testing.T) {
	requests := make(chan string, 1)
	b := listen(t, "127.0.0.1:0", func(conn net.Conn) {
		requests <- ask(conn)
		io.WriteString(conn, "HTTP/1.0 200 OK\r\n\r\n")
	})
	got := once(t, b.addr, "url", "http://en.wiki.example:8080/w/api.php?a=1&b=%20#fragment")
	if got.state != lb.Up {
		t.Errorf("result %v %q", got.state, got.reason)
	}
	want := "GET /w/api.php?a=1&b=%20 HTTP/1.1\r\nHost: en.wiki.example:8080\r\n" +
		"User-Agent: Sluice-lbd\r\nConnection: close\r\n\r\n"
	if diff := cmp.Diff(want, <-requests); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

// One of the URLs at a time, each of them sooner or later.
func TestFetchSeveralURLs(t *testing.T) {
	requests := make(chan string, 64)
	b := listen(t, "127.0.0.1:0", func(conn net.Conn) {
		requests <- strings.Fields(ask(conn))[1]
		io.WriteString(conn, "HTTP/1.0 200 OK\r\n\r\n")
	})
	for range 64 {
		once(t, b.addr, "url", "http://en.example/a", "url", "http://en.example/b")
	}
	seen := map[string]int{}
	for range 64 {
		seen[<-requests]++
	}
	if seen["/a"] == 0 || seen["/b"] == 0 || len(seen) != 2 {
		t.Errorf("requests %v, want some for /a and some for /b", seen)
	}
}

// TLS without verification, with the URL's name.
func TestFetchTLS(t *testing.T) {
	names := make(chan string, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "fine")
	}))
	server.TLS = &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		names <- h.ServerName
		return nil, nil
	}}
	server.StartTLS()
	defer server.Close()
	to := netip.MustParseAddrPort(server.Listener.Addr().String())
	if got := once(t, to, "url", "https://no-such-name.invalid/"); got.state != lb.Up {
		t.Errorf("result %v %q", got.state, got.reason)
	}
	if name := <-names; name != "no-such-name.invalid" {
		t.Errorf("name sent is %q", name)
	}
}

// The request is in the name of host, whatever the URL's.
func TestFetchHost(t *testing.T) {
	requests := make(chan string, 1)
	b := listen(t, "127.0.0.1:0", func(conn net.Conn) {
		requests <- ask(conn)
		io.WriteString(conn, "HTTP/1.0 200 OK\r\n\r\n")
	})
	got := once(t, b.addr, "url", "http://localhost/healthz?x", "host", "en.example:81")
	if request := <-requests; got.state != lb.Up || !strings.HasPrefix(request, "GET /healthz?x HTTP/1.1\r\nHost: en.example:81\r\n") {
		t.Errorf("result %v %q, request %q", got.state, got.reason, request)
	}
}

func TestFetchMatch(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nX-Served: cp2\r\nX-Served: cp1 \r\nConnection: close\r\n"
	for _, tt := range []struct {
		options string // name, value, …
		answer  string
		want    result
	}{
		{"header~x-served: ^cp1$", head + "\r\n", result{state: lb.Up}},
		{"header~X-Served:", head + "\r\n", result{state: lb.Up}},
		{"header~X-Served: cp3", head + "\r\n", result{lb.Down, `header X-Served is "cp2"`}},
		{"header~X-Served: cp1~header~Other:.", head + "\r\n", result{lb.Down, "no header Other"}},
		{"body~^all is (well|good)$", head + "\r\nall is well", result{state: lb.Up}},
		{"body~^all is (well|good)$", head + "\r\nall is wel", result{lb.Down, "body does not match"}},
		{"body~x", head + "Content-Length: 9\r\n\r\nx", result{lb.Down, "body: unexpected EOF"}},
		{"body~end$", head + "\r\n" + strings.Repeat("x", maxMatch) + "end", result{lb.Down, "body does not match"}},
		{"body~x$", head + "\r\n" + strings.Repeat("x", maxMatch) + "end", result{state: lb.Up}},
		{"body~(a+)+$", head + "\r\n" + strings.Repeat("a", 60_000) + "b", result{lb.Down, "body does not match"}},
	} {
		b := listen(t, "127.0.0.1:0", answer(tt.answer))
		got := once(t, b.addr, append([]string{"url", "http://en.example/"}, strings.Split(tt.options, "~")...)...)
		if got != tt.want {
			t.Errorf("%s: %v %q, want %v %q", tt.options, got.state, got.reason, tt.want.state, tt.want.reason)
		}
	}
}

// With check_all every URL is asked for, at the same time, and max_failures
// of them may fail.
func TestFetchAll(t *testing.T) {
	var together sync.WaitGroup
	b := listen(t, "127.0.0.1:0", func(conn net.Conn) {
		path := strings.Fields(ask(conn))[1]
		together.Done()
		together.Wait() // nobody is answered before all have asked
		fmt.Fprintf(conn, "HTTP/1.0 %s OK\r\n\r\n", path[1:])
	})
	for _, tt := range []struct {
		paths, failures string
		want            result
	}{
		{"200 200 201", "0", result{state: lb.Up}},
		{"200 500 200", "0", result{lb.Down, "1 of 3 urls, http://en.example/500: 500 Internal Server Error"}},
		{"200 500 200", "1", result{state: lb.Up}},
		{"404 500 200", "1", result{lb.Down, "2 of 3 urls, http://en.example/404: 404 Not Found"}},
		{"500", "0", result{lb.Down, "500 Internal Server Error"}},
	} {
		options := []string{"check_all", "yes", "max_failures", tt.failures}
		for _, path := range strings.Fields(tt.paths) {
			options = append(options, "url", "http://en.example/"+path)
			together.Add(1)
		}
		if got := once(t, b.addr, options...); got != tt.want {
			t.Errorf("%s: %v %q, want %v %q", tt.paths, got.state, got.reason, tt.want.state, tt.want.reason)
		}
	}
}

// TLS with verification: the name is the URL's, host's or sni's.
func TestFetchVerify(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS() // with a certificate for example.com of its own making
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	to := netip.MustParseAddrPort(server.Listener.Addr().String())
	for _, tt := range []struct {
		options string
		reason  string // "": up
	}{
		{"url|https://example.com/|tls-ca|" + ca, ""},
		{"url|https://other.test/|host|example.com|tls-ca|" + ca, ""},
		{"url|https://other.test/|sni|example.com|tls-ca|" + ca, ""},
		{"url|https://other.test/", ""},
		{"url|https://other.test/|tls-ca|" + ca, "tls: failed to verify certificate: x509: certificate is valid for"},
		{"url|https://example.com/|tls-verify|yes", "tls: failed to verify certificate: x509: "},
	} {
		got := once(t, to, strings.Split(tt.options, "|")...)
		if (got.state == lb.Up) != (tt.reason == "") || !strings.Contains(got.reason, tt.reason) {
			t.Errorf("%s: %v %q, want %q", tt.options, got.state, got.reason, tt.reason)
		}
	}
}

// flood writes chunk until the other side has had enough.
func flood(conn net.Conn, chunk string) {
	bytes := []byte(chunk)
	for {
		if _, err := conn.Write(bytes); err != nil {
			return
		}
	}
}

// drip writes one byte after another.
func drip(conn net.Conn, text string) {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for i := 0; ; i++ {
		if _, err := conn.Write([]byte{text[i%len(text)]}); err != nil {
			return
		}
		<-ticker.C
	}
}

// Case C43 and worse: whatever a server does, a check ends by its timeout and
// takes little memory.
func TestFetchHostile(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	const late = "timeout after 300ms"
	big := strings.Repeat("x", 64<<10)
	for _, tt := range []struct {
		name   string
		serve  func(net.Conn)
		state  lb.State
		reason string
	}{
		{"never answers", keep, lb.Down, late},
		{"closes at once", func(net.Conn) {}, lb.Down, ""},
		{"closes after the request", func(conn net.Conn) { ask(conn) }, lb.Down, "unexpected EOF"},
		{"garbage", answer("\x00\x16garbage\r\n\r\n"), lb.Down, ""},
		{"an endless line of garbage", func(conn net.Conn) { ask(conn); flood(conn, big) }, lb.Down, "header longer than 65536 bytes"},
		{"an endless status", func(conn net.Conn) { ask(conn); flood(conn, ok[:9]+big) }, lb.Down, "header longer than 65536 bytes"},
		{"endless headers", func(conn net.Conn) {
			ask(conn)
			io.WriteString(conn, ok)
			flood(conn, strings.Repeat("X-Header: value\r\n", 1000))
		}, lb.Down, "header longer than 65536 bytes"},
		{"endless hints", func(conn net.Conn) {
			ask(conn)
			flood(conn, "HTTP/1.1 103 Early Hints\r\n\r\n")
		}, lb.Down, "103 Early Hints"},
		{"some hints", answer(strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 3) + ok + "Content-Length: 1\r\n\r\nx"), lb.Up, ""},
		{"dripping headers", func(conn net.Conn) { ask(conn); io.WriteString(conn, ok); drip(conn, "X: y\r\n") }, lb.Down, late},
		{"C43 dripping body", func(conn net.Conn) { ask(conn); io.WriteString(conn, ok+"\r\n"); drip(conn, "x") }, lb.Down, late},
		{"body never ends", func(conn net.Conn) { ask(conn); io.WriteString(conn, ok+"\r\nx"); keep(conn) }, lb.Down, late},
		{"huge body", func(conn net.Conn) { ask(conn); io.WriteString(conn, ok+"\r\n"); flood(conn, big) }, lb.Up, ""},
		{"huge declared body", func(conn net.Conn) {
			ask(conn)
			io.WriteString(conn, ok+"Content-Length: 9223372036854775807\r\n\r\n")
			flood(conn, big)
		}, lb.Up, ""},
		{"short body", answer(ok + "Content-Length: 10\r\n\r\nx"), lb.Down, "body: unexpected EOF"},
		{"huge chunk", func(conn net.Conn) {
			ask(conn)
			io.WriteString(conn, ok+"Transfer-Encoding: chunked\r\n\r\nffffffffffff\r\n")
			flood(conn, big)
		}, lb.Up, ""},
		{"small chunks", func(conn net.Conn) {
			ask(conn)
			io.WriteString(conn, ok+"Transfer-Encoding: chunked\r\n\r\n")
			flood(conn, strings.Repeat("a\r\n0123456789\r\n", 1000))
		}, lb.Up, ""},
		{"tiny chunks with long headers", func(conn net.Conn) {
			ask(conn)
			io.WriteString(conn, ok+"Transfer-Encoding: chunked\r\n\r\n")
			flood(conn, "1;"+strings.Repeat("x", 1000)+"\r\nx\r\n")
		}, lb.Down, "body: chunked encoding contains too much non-data"},
		{"an endless chunk header", func(conn net.Conn) {
			ask(conn)
			io.WriteString(conn, ok+"Transfer-Encoding: chunked\r\n\r\n1;")
			flood(conn, big)
		}, lb.Down, ""},
		{"endless trailers", func(conn net.Conn) {
			ask(conn)
			io.WriteString(conn, ok+"Transfer-Encoding: chunked\r\n\r\n0\r\n")
			flood(conn, "X-Trailer: value\r\n")
		}, lb.Down, ""},
		{"escape sequences", answer("\x1b[2J\r\n\r\n"), lb.Down, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := listen(t, "127.0.0.1:0", tt.serve)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			timeout := "10"
			if tt.reason == late {
				timeout = "0.3"
			}
			start := time.Now()
			got := once(t, b.addr, "url", "http://en.example/", "timeout", timeout)
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if got.state != tt.state || tt.reason != "" && got.reason != tt.reason {
				t.Errorf("result %v %q, want %v %q", got.state, got.reason, tt.state, tt.reason)
			}
			if got.state == lb.Down && (got.reason == "" || got.reason != clip(got.reason)) {
				t.Errorf("reason is %q, want one plain line", got.reason)
			}
			if took > 5*time.Second {
				t.Errorf("took %v with a timeout of %ss", took, timeout)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
				t.Errorf("allocated %d bytes", used)
			}
		})
	}
}

// A TLS server that says nothing, and one that speaks plain HTTP.
func TestFetchHostileTLS(t *testing.T) {
	for _, tt := range []struct {
		name   string
		serve  func(net.Conn)
		reason string
	}{
		{"silent", keep, "timeout after 300ms"},
		{"dripping", func(conn net.Conn) { drip(conn, "\x16\x03\x03\x3f\xff\x02") }, "timeout after 300ms"},
		{"plain", func(conn net.Conn) { io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n"); keep(conn) }, "tls: "},
		{"garbage", func(conn net.Conn) { flood(conn, "\x16\x03\x03\x3f\xff\x02\xff\xff\xff") }, "tls: "},
	} {
		b := listen(t, "127.0.0.1:0", tt.serve)
		start := time.Now()
		got := once(t, b.addr, "url", "https://en.example/", "timeout", "0.3")
		if got.state != lb.Down || !strings.HasPrefix(got.reason, tt.reason) || time.Since(start) > 5*time.Second {
			t.Errorf("%s: %v %q after %v", tt.name, got.state, got.reason, time.Since(start))
		}
	}
}

// Case C43, black hole: the timeout covers connecting.
func TestFetchBlackHole(t *testing.T) {
	c, err := compile(monitorOf("ProxyFetch", "url", "http://en.example/", "timeout", "0.05"))
	if err != nil {
		t.Fatal(err)
	}
	p := probeOf(netip.MustParseAddrPort("192.0.2.1:80"), nil)
	p.dial = func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
	fetch := c.check.(fetchCheck)
	got := fetch.once(t.Context(), p, fetch.look)
	if got != (result{lb.Down, "timeout after 50ms"}) {
		t.Errorf("result %v %q", got.state, got.reason)
	}
}

func TestFetchRefused(t *testing.T) {
	b := listen(t, "127.0.0.1:0", keep)
	b.listener.Close()
	if got := once(t, b.addr, "url", "http://en.example/"); got != (result{lb.Down, "connection refused"}) {
		t.Errorf("result %v %q", got.state, got.reason)
	}
}

func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\n\r\nbody",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 500 No\r\nContent-Length: 5\r\n\r\n12345",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxx\r\n0\r\nX: y\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	c, err := compile(monitorOf("ProxyFetch", "url", "http://en.example/"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		err := c.check.(fetchCheck).read(bytes.NewReader(answer))
		if err == nil && !bytes.HasPrefix(answer, []byte("HTTP/")) {
			t.Errorf("%q passed", answer)
		}
		if err != nil {
			if r := failure(err); r.state != lb.Down || r.reason == "" || len(r.reason) > 120 {
				t.Errorf("%v became %v %q", err, r.state, r.reason)
			}
		}
	})
}
