package health

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/sluice-lb/sluice/internal/lb"
)

// BenchmarkFetch is one ProxyFetch check, both ends of it.
func BenchmarkFetch(b *testing.B) {
	server := listen(b, "127.0.0.1:0", func(conn net.Conn) {
		var request [512]byte
		conn.Read(request[:])
		conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"))
	})
	c, err := compile(monitorOf("ProxyFetch", "url", "http://en.example/"))
	if err != nil {
		b.Fatal(err)
	}
	fetch, p := c.check.(fetchCheck), probeOf(server.addr, nil)
	b.ReportAllocs()
	for b.Loop() {
		if r := fetch.once(context.Background(), p, fetch.look); r.state != lb.Up {
			b.Fatalf("result %v %q", r.state, r.reason)
		}
	}
}

// BenchmarkTargets registers 10,000 servers and waits for all their verdicts.
func BenchmarkTargets(b *testing.B) {
	const servers = 10_000
	var backends []lb.Backend
	for i := range servers {
		backends = append(backends, at(fmt.Sprintf("s%05d", i), fmt.Sprintf("10.0.%d.%d", i/250, 1+i%250)))
	}
	for _, monitor := range []lb.Monitor{
		monitorOf("IdleConnection"),
		monitorOf("ProxyFetch", "url", "http://en.example/", "interval", "10"),
	} {
		b.Run(monitor.Kind, func(b *testing.B) {
			for b.Loop() {
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				r := New(quiet(), WithDial(func(context.Context, string, string) (net.Conn, error) {
					return newStub(silentAfter("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")), nil
				}))
				ctx, cancel := context.WithCancel(context.Background())
				var running sync.WaitGroup
				running.Go(func() { r.Run(ctx) })
				start := time.Now()
				set(b, r, 80, []lb.Monitor{monitor}, backends...)
				for range servers {
					<-r.Verdicts()
				}
				b.ReportMetric(time.Since(start).Seconds(), "s-until-known")
				runtime.GC()
				runtime.ReadMemStats(&after)
				used := after.HeapAlloc + after.StackInuse - before.HeapAlloc - before.StackInuse
				b.ReportMetric(float64(used)/servers, "B/target")
				cancel()
				running.Wait()
			}
		})
	}
}
