package health

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-lb/sluice/internal/lb"
)

// A farm is a process of web servers on farmAddrs loopback addresses, so that
// their work is not counted as ours.
const (
	farmEnv   = "HEALTH_TEST_FARM"
	farmAddrs = 200
	farmPort  = 18080
)

func farmAddr(i int) string { return fmt.Sprintf("127.77.%d.%d", i/100, 1+i%100) }

// farm is that process: it serves until its input ends.
func farm() {
	for i := range farmAddrs {
		l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", farmAddr(i), farmPort))
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer conn.Close()
					var request [512]byte
					conn.Read(request[:])
					io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
				}()
			}
		}()
	}
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
}

func startFarm(b *testing.B) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), farmEnv+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { in.Close(); cmd.Wait() })
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		b.Fatalf("servers: %s", line)
	}
}

// BenchmarkTenThousand checks 10,000 backends every 10 s over HTTP on
// loopback, and reports the share of one core and the memory that takes. One
// iteration is three rounds, about 30 s; the first round, in which everybody is new,
// is not counted.
//
//	go test -run '^$' -bench TenThousand -benchtime 1x ./internal/health
func BenchmarkTenThousand(b *testing.B) {
	const backends = 10_000
	startFarm(b)
	var dials atomic.Int64
	reached := make(chan struct{}, 1)
	var goal atomic.Int64
	plain := New(quiet()).dial
	r := New(quiet(), WithDial(func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials.Add(1) == goal.Load() {
			reached <- struct{}{}
		}
		return plain(ctx, network, address)
	}))
	goal.Store(2 * backends)
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	var pool []lb.Backend
	for i := range backends {
		pool = append(pool, at(fmt.Sprintf("s%05d", i), farmAddr(i%farmAddrs)))
	}
	set(b, r, farmPort, []lb.Monitor{monitorOf("ProxyFetch", "url", "http://en.example/healthz")}, pool...)
	for range backends {
		if e := <-r.Verdicts(); e.Verdict != (lb.Verdict{}) && e.Verdict != up {
			b.Fatalf("%+v", e)
		}
	}
	<-reached
	for b.Loop() {
		start, used := time.Now(), cpu(b)
		goal.Store(dials.Load() + 3*backends)
		<-reached
		share := (cpu(b) - used).Seconds() / time.Since(start).Seconds()
		b.ReportMetric(share*100, "%core")
		b.ReportMetric(3*backends/time.Since(start).Seconds(), "checks/s")
		b.ReportMetric(rss(b), "RSS-MB")
	}
	for _, t := range r.Tallies() {
		if t.Downs > 0 {
			b.Errorf("%s failed %d times", t.Host, t.Downs)
		}
	}
	cancel()
	running.Wait()
}

// cpu returns the processor time this process has used.
func cpu(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// rss returns how many megabytes this process holds in memory.
func rss(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmRSS:")
	var kb float64
	if _, err := fmt.Sscan(after, &kb); err != nil {
		b.Fatal(err)
	}
	return kb / 1024
}
