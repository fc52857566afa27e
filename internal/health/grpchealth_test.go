package health

import (
	"crypto/tls"
	"encoding/pem"
	"io"
	"net"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/sluice-lb/sluice/internal/lb"
)

// grpcServer is a real gRPC server, with the standard health service if with
// is set.
func grpcServer(t testing.TB, with *health.Server, opts ...grpc.ServerOption) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(opts...)
	if with != nil {
		grpc_health_v1.RegisterHealthServer(server, with)
	}
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); <-done })
	return netip.MustParseAddrPort(l.Addr().String())
}

// call runs one GRPCHealth check against a real address.
func call(t testing.TB, to netip.AddrPort, options ...string) result {
	t.Helper()
	c, err := compile(monitorOf("GRPCHealth", options...))
	if err != nil {
		t.Fatal(err)
	}
	check := c.check.(grpcCheck)
	return check.once(t.Context(), probeOf(to, nil), check.look)
}

func TestGRPC(t *testing.T) {
	states := health.NewServer()
	states.SetServingStatus("search", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	to := grpcServer(t, states)
	gone := listen(t, "127.0.0.1:0", keep)
	gone.listener.Close()
	for _, tt := range []struct {
		to      netip.AddrPort
		service string
		want    result
	}{
		{to, "", result{state: lb.Up}},
		{to, "search", result{lb.Down, "NOT_SERVING"}},
		{to, "other", result{lb.Down, "health service does not know the service"}},
		{grpcServer(t, nil), "", result{lb.Down, "no health service"}},
		{gone.addr, "", result{lb.Down, "connection refused"}},
	} {
		if got := call(t, tt.to, "service", tt.service); got != tt.want {
			t.Errorf("%q: %v %q, want %v %q", tt.service, got.state, got.reason, tt.want.state, tt.want.reason)
		}
	}
	states.SetServingStatus("search", grpc_health_v1.HealthCheckResponse_SERVING)
	if got := call(t, to, "service", "search"); got.state != lb.Up {
		t.Errorf("%v %q after it recovered", got.state, got.reason)
	}
}

func TestGRPCTLS(t *testing.T) {
	donor := httptest.NewTLSServer(nil) // of a certificate for example.com
	defer donor.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: donor.Certificate().Raw}
	if err := os.WriteFile(ca, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	to := grpcServer(t, health.NewServer(), grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: donor.TLS.Certificates})))
	for _, tt := range []struct {
		options []string
		up      bool
	}{
		{[]string{"tls", "yes"}, true},
		{[]string{"tls", "yes", "host", "example.com", "tls-ca", ca}, true},
		{[]string{"tls", "yes", "sni", "example.com", "tls-ca", ca}, true},
		{[]string{"tls", "yes", "host", "other.test", "tls-ca", ca}, false},
		{nil, false},
	} {
		if got := call(t, to, append(tt.options, "timeout", "2")...); (got.state == lb.Up) != tt.up {
			t.Errorf("%v: %v %q", tt.options, got.state, got.reason)
		}
	}
	for _, tt := range []struct {
		options []string
		want    string
	}{
		{[]string{"tls-verify", "yes"}, "the name to verify"},
		{[]string{"host", "a.example", "sni", "b.example"}, "one name"},
		{[]string{"tls-ca", "/dev/null"}, "no certificate"},
	} {
		_, err := Validate(monitorOf("GRPCHealth", append(tt.options, "tls", "yes")...))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: error %v, want %q", tt.options, err, tt.want)
		}
	}
}

// Whatever a server does, a check ends by its timeout and takes little memory.
func TestGRPCHostile(t *testing.T) {
	const settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	big := strings.Repeat("x", 64<<10)
	for _, tt := range []struct {
		name  string
		serve func(net.Conn)
	}{
		{"never answers", keep},
		{"closes at once", func(net.Conn) {}},
		{"HTTP/1.1", answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")},
		{"garbage", func(conn net.Conn) { go keep(conn); flood(conn, big) }},
		{"settings and silence", func(conn net.Conn) { io.WriteString(conn, settings); keep(conn) }},
		{"endless settings", func(conn net.Conn) { go keep(conn); flood(conn, settings) }},
		{"endless pings", func(conn net.Conn) {
			go keep(conn)
			flood(conn, settings+"\x00\x00\x08\x06\x00\x00\x00\x00\x00abcdefgh")
		}},
		{"endless header", func(conn net.Conn) {
			go keep(conn)
			io.WriteString(conn, settings+"\x00\x00\x00\x01\x00\x00\x00\x00\x01")
			flood(conn, "\x00\x40\x00\x09\x00\x00\x00\x00\x01"+big[:16<<10])
		}},
		{"endless data", func(conn net.Conn) {
			go keep(conn)
			// :status 200, content-type application/grpc
			io.WriteString(conn, settings+"\x00\x00\x13\x01\x04\x00\x00\x00\x01\x88\x5f\x10application/grpc")
			flood(conn, "\x00\x40\x00\x00\x00\x00\x00\x00\x01\x00\x7f\xff\xff\xff"+big[:16<<10-5])
		}},
		{"drips", func(conn net.Conn) { go keep(conn); drip(conn, settings) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := listen(t, "127.0.0.1:0", tt.serve)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			got := call(t, b.addr, "timeout", "0.3")
			runtime.ReadMemStats(&after)
			if got.state != lb.Down || got.reason == "" || got.reason != clip(got.reason) {
				t.Errorf("result %v %q, want down and why, in one line", got.state, got.reason)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			if held := int64(after.HeapAlloc+after.StackInuse) - int64(before.HeapAlloc+before.StackInuse); held > 8<<20 {
				t.Errorf("holds %d bytes", held)
			}
		})
	}
}
