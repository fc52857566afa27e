package health

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sluice-lb/sluice/internal/lb"
)

// nameserver answers queries on loopback; reply returns the bytes to send.
func nameserver(t testing.TB, address string, reply func(query *dns.Msg) []byte) netip.AddrPort {
	t.Helper()
	addr, _ := packets(t, address, func(conn net.PacketConn, from net.Addr, datagram []byte) {
		var query dns.Msg
		if err := query.Unpack(datagram); err != nil {
			t.Errorf("query %x: %v", datagram, err)
		}
		if answer := reply(&query); answer != nil {
			conn.WriteTo(answer, from)
		}
	})
	return addr
}

func packed(m *dns.Msg) []byte {
	data, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return data
}

func withCode(rcode int) func(*dns.Msg) []byte {
	return func(q *dns.Msg) []byte { return packed(new(dns.Msg).SetRcode(q, rcode)) }
}

// lookup runs one DNSQuery check against a real address.
func lookup(t testing.TB, to netip.AddrPort, options ...string) (result, *account) {
	t.Helper()
	options = append(options, "port", strconv.Itoa(int(to.Port())))
	c, err := compile(monitorOf("DNSQuery", options...))
	if err != nil {
		t.Fatal(err)
	}
	// The service's port is another one.
	p := probeOf(netip.AddrPortFrom(to.Addr(), 1), nil)
	query := c.check.(dnsCheck)
	return query.once(t.Context(), p, query.look), p.account
}

func TestDNSCodes(t *testing.T) {
	for _, tt := range []struct {
		rcode  int
		option string
		want   result
	}{
		{dns.RcodeSuccess, "no", result{state: lb.Up}}, // no data is an answer
		{dns.RcodeNameError, "no", result{state: lb.Up}},
		{dns.RcodeNameError, "yes", result{lb.Down, "NXDOMAIN"}},
		{dns.RcodeServerFailure, "no", result{lb.Down, "SERVFAIL"}},
		{dns.RcodeRefused, "no", result{lb.Down, "REFUSED"}},
		{dns.RcodeFormatError, "no", result{lb.Down, "FORMERR"}},
		{14, "no", result{lb.Down, "response code 14"}},
	} {
		for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
			to := nameserver(t, address, withCode(tt.rcode))
			got, account := lookup(t, to, "hostnames", "en.example", "fail-on-nxdomain", tt.option)
			if got != tt.want {
				t.Errorf("%s, code %d: %v %q, want %v %q", address, tt.rcode, got.state, got.reason, tt.want.state, tt.want.reason)
			}
			if account.read().Took[Look{OK: got.state == lb.Up}] <= 0 {
				t.Errorf("code %d: took %v", tt.rcode, account.read().Took)
			}
		}
	}
}

// All names and both families are asked for, sooner or later.
func TestDNSQuestions(t *testing.T) {
	var mu sync.Mutex
	asked := map[dns.Question]int{}
	to := nameserver(t, "127.0.0.1:0", func(q *dns.Msg) []byte {
		mu.Lock()
		defer mu.Unlock()
		asked[q.Question[0]]++
		if !q.RecursionDesired || q.Response || len(q.Question) != 1 {
			t.Errorf("query %v", q)
		}
		return withCode(dns.RcodeSuccess)(q)
	})
	for range 100 {
		if got, _ := lookup(t, to, "hostnames", "a.example", "hostnames", "b.example."); got.state != lb.Up {
			t.Fatalf("result %v", got)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(asked) != 4 {
		t.Errorf("asked %v, want two names in two types", asked)
	}
}

// A server that does not answer is down: nobody else is asked, not even for a
// name that this machine knows.
func TestDNSSilence(t *testing.T) {
	var queries atomic.Int64
	to := nameserver(t, "127.0.0.1:0", func(*dns.Msg) []byte { queries.Add(1); return nil })
	start := time.Now()
	got, _ := lookup(t, to, "hostnames", "localhost", "timeout", "0.3")
	if got != (result{lb.Down, "timeout after 300ms"}) || time.Since(start) > 5*time.Second {
		t.Errorf("result %v %q after %v", got.state, got.reason, time.Since(start))
	}
	if n := queries.Load(); n != dnsTries {
		t.Errorf("%d queries, want %d", n, dnsTries)
	}
}

func TestDNSRefusedByHost(t *testing.T) {
	addr, conn := packets(t, "127.0.0.1:0", func(net.PacketConn, net.Addr, []byte) {})
	conn.Close()
	if got, _ := lookup(t, addr, "hostnames", "a.example"); got != (result{lb.Down, "connection refused"}) {
		t.Errorf("result %v %q", got.state, got.reason)
	}
}

// One lost datagram is no dead server.
func TestDNSLostDatagram(t *testing.T) {
	var queries atomic.Int64
	to := nameserver(t, "127.0.0.1:0", func(q *dns.Msg) []byte {
		if queries.Add(1) == 1 {
			return nil
		}
		return withCode(dns.RcodeSuccess)(q)
	})
	if got, _ := lookup(t, to, "hostnames", "a.example", "timeout", "0.6"); got.state != lb.Up {
		t.Errorf("result %v %q", got.state, got.reason)
	}
}

func TestDNSHostile(t *testing.T) {
	other := func(change func(*dns.Msg)) func(*dns.Msg) []byte {
		return func(q *dns.Msg) []byte {
			m := new(dns.Msg).SetReply(q)
			change(m)
			return packed(m)
		}
	}
	const late, stray = "timeout after 300ms", "answers are no answers to the query"
	huge := bytes.Repeat([]byte{0xc0, 0x0c}, 30000)
	for _, tt := range []struct {
		name   string
		reply  func(*dns.Msg) []byte
		times  int
		state  lb.State
		reason string
	}{
		{"another id", other(func(m *dns.Msg) { m.Id++ }), 1, lb.Down, late},
		{"another name", other(func(m *dns.Msg) { m.Question[0].Name = "evil.example." }), 1, lb.Down, late},
		{"another type", other(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeMX }), 1, lb.Down, late},
		{"no question", other(func(m *dns.Msg) { m.Question = nil }), 1, lb.Down, late},
		{"an error without a question", other(func(m *dns.Msg) { m.Question, m.Rcode = nil, dns.RcodeFormatError }), 1, lb.Down, "FORMERR"},
		{"the query itself", func(q *dns.Msg) []byte { return packed(q) }, 1, lb.Down, late},
		{"another case", other(func(m *dns.Msg) { m.Question[0].Name = "A.exAMPLE." }), 1, lb.Up, ""},
		{"empty datagrams", func(*dns.Msg) []byte { return []byte{} }, 1, lb.Down, late},
		{"garbage", func(*dns.Msg) []byte { return []byte("\x00\xffgarbage") }, 100, lb.Down, stray},
		{"huge garbage", func(*dns.Msg) []byte { return huge }, 5000, lb.Down, stray}, // most are dropped on the way
		{"an answer with garbage behind it", func(q *dns.Msg) []byte {
			data := packed(new(dns.Msg).SetReply(q))
			data[7] = 200 // answers that are not there
			return append(data, "\xc0\x0c\xff"...)
		}, 1, lb.Up, ""},
		{"garbage, then an answer", nil, 1, lb.Up, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			patience := "0.3"
			if tt.reason == stray { // which is found out by counting, before any time is up
				patience = "3"
			}
			addr, _ := packets(t, "127.0.0.1:0", func(conn net.PacketConn, from net.Addr, datagram []byte) {
				var query dns.Msg
				if err := query.Unpack(datagram); err != nil {
					t.Error(err)
				}
				reply := tt.reply
				if reply == nil {
					conn.WriteTo([]byte("garbage"), from)
					reply = withCode(dns.RcodeSuccess)
				}
				again := reply(&query)
				for range tt.times {
					conn.WriteTo(again, from)
				}
			})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			got, _ := lookup(t, addr, "hostnames", "a.example", "timeout", patience)
			runtime.ReadMemStats(&after)
			if got != (result{tt.state, tt.reason}) {
				t.Errorf("result %v %q, want %v %q", got.state, got.reason, tt.state, tt.reason)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 { // most of it the server's
				t.Errorf("allocated %d bytes", used)
			}
		})
	}
}

func FuzzDNSAnswer(f *testing.F) {
	query := new(dns.Msg).SetQuestion("a.example.", dns.TypeA)
	query.Id = 7
	f.Add(packed(new(dns.Msg).SetReply(query)))
	f.Add(packed(new(dns.Msg).SetRcode(query, dns.RcodeServerFailure)))
	f.Add([]byte("\x00\x07\x81\x80\x00\x01\x00\xff\x00\x00\x00\x00\xc0\x0c"))
	c := dnsCheck{}
	f.Fuzz(func(t *testing.T, datagram []byte) {
		rcode, ok := answers(datagram, query)
		if !ok {
			return
		}
		if len(datagram) < 12 || datagram[0] != 0 || datagram[1] != 7 || datagram[2]&0x80 == 0 {
			t.Errorf("%x counts as an answer", datagram)
		}
		if err := c.judge(rcode); err == nil && !bytes.Contains(bytes.ToLower(datagram), []byte("\x01a\x07example")) {
			t.Errorf("%x passes without the question", datagram)
		} else if err != nil && failure(err).reason == "" {
			t.Errorf("code %d: %v", rcode, errors.Unwrap(err))
		}
	})
}
