package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-lb/sluice/internal/lb"
)

func TestCombine(t *testing.T) {
	up, down := result{state: lb.Up}, result{lb.Down, "timeout"}
	for _, tt := range []struct {
		name    string
		results []result
		want    lb.Verdict
	}{
		{"none", nil, lb.Verdict{State: lb.Up}},
		{"all unknown", []result{{}, {}}, lb.Verdict{}},
		{"all up", []result{up, up}, lb.Verdict{State: lb.Up}},
		{"one up, one unknown", []result{up, {}}, lb.Verdict{Partial: true}},
		{"one unknown with a reason", []result{{}, {lb.Unknown, "cannot check"}, up}, lb.Verdict{Partial: true}},
		{"unknown with a reason", []result{{lb.Unknown, "cannot check"}}, lb.Verdict{Reason: "A: cannot check"}},
		{"one down", []result{up, down}, lb.Verdict{State: lb.Down, Partial: true, Reason: "B: timeout"}},
		{"unknown and down", []result{{}, down}, lb.Verdict{State: lb.Down, Reason: "B: timeout"}},
		{"down and unknown", []result{down, {}}, lb.Verdict{State: lb.Down, Reason: "A: timeout"}},
		{"two down", []result{up, {lb.Down, "x"}, down}, lb.Verdict{State: lb.Down, Partial: true, Reason: "B: x"}},
	} {
		if got := combine([]string{"A", "B", "C"}, tt.results); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestFailure(t *testing.T) {
	dial := func(errno syscall.Errno) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)}
	}
	for _, tt := range []struct {
		err  error
		want result
	}{
		{dial(syscall.ECONNREFUSED), result{lb.Down, "connection refused"}},
		{dial(syscall.EHOSTUNREACH), result{lb.Down, "no route to host"}},
		{dial(syscall.ECONNRESET), result{lb.Down, "connection reset by peer"}},
		{dial(syscall.ETIMEDOUT), result{lb.Down, "timeout"}},
		{os.ErrDeadlineExceeded, result{lb.Down, "timeout"}},
		{fmt.Errorf("dial: %w", context.DeadlineExceeded), result{lb.Down, "timeout"}},
		{dial(syscall.EMFILE), result{lb.Unknown, "cannot check: too many open files"}},
		{dial(syscall.EADDRNOTAVAIL), result{lb.Unknown, "cannot check: cannot assign requested address"}},
		{errors.New("two\nlines \x1b[1m"), result{lb.Down, "two?lines ?[1m"}},
		{errors.New(strings.Repeat("x", 500)), result{lb.Down, strings.Repeat("x", 117) + "..."}},
	} {
		if got := failure(tt.err); got != tt.want {
			t.Errorf("%v: %v %q, want %v %q", tt.err, got.state, got.reason, tt.want.state, tt.want.reason)
		}
	}
}

// TestOutbox lets verdicts change and a reader read in any order: the reader
// is told news only, and ends up with the newest verdict of every server.
func TestOutbox(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := outbox{slots: map[key]*slot{}}
		current, told := map[key]lb.Verdict{}, map[key]lb.Verdict{}
		read := func() bool {
			e, ok := o.head()
			if !ok {
				return false
			}
			k := key{e.Service, e.Host}
			if e.Verdict == told[k] || e.Verdict != current[k] {
				t.Fatalf("told %+v; told before %+v, current %+v", e, told[k], current[k])
			}
			told[k] = e.Verdict
			o.sent()
			return true
		}
		verdicts := []lb.Verdict{{}, {State: lb.Up}, {State: lb.Down, Reason: "x"}}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "read") {
				read()
				continue
			}
			k := key{"web", rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "host")}
			current[k] = rapid.SampledFrom(verdicts).Draw(t, "verdict")
			o.put(k, current[k])
			if len(o.queue) > 3 {
				t.Fatalf("%d events wait for 3 servers", len(o.queue))
			}
		}
		for read() {
		}
		zero := 0
		for k, v := range current {
			if told[k] != v {
				t.Fatalf("%v: told %+v at last, want %+v", k, told[k], v)
			}
			if v == (lb.Verdict{}) {
				zero++
			}
		}
		if len(o.slots) != len(current)-zero {
			t.Fatalf("%d slots kept for %d servers with %d zero verdicts", len(o.slots), len(current), zero)
		}
	})
}
