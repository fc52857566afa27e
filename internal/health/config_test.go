package health

import (
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/sluice-lb/sluice/internal/lb"
)

func TestValidate(t *testing.T) {
	const page = "http://en.example/"
	for _, tt := range []struct {
		monitor lb.Monitor
		want    string // part of the error; empty: fine
	}{
		{monitorOf("IdleConnection"), ""},
		{lb.Monitor{Kind: "IdleConnection"}, ""},
		{monitorOf("IdleConnection", "max-delay", "300", "timeout-clean-reconnect", "3"), ""},
		{monitorOf("IdleConnection", "keepalive", "No", "keepalive-retries", "5", "keepalive-idle", "20"), ""},
		{monitorOf("IdleConnection", "no-such-option", "x"), ""},
		{monitorOf("ProxyFetch", "url", page), ""},
		{monitorOf("ProxyFetch", "url", page, "url", "https://[2001:db8::1]:8443/a?b=c", "interval", "0.2"), ""},
		{monitorOf("ProxyFetch", "url", page, "http_status", "302", "timeout", " 5 ", "check_all", "yes"), ""},

		{monitorOf("Ping"), `monitor "Ping": unknown kind`},
		{monitorOf("idleconnection"), `monitor "idleconnection": unknown kind`},
		{monitorOf(""), `monitor "": unknown kind`},
		{monitorOf("ProxyFetch"), "monitor ProxyFetch: option url: missing"},
		{monitorOf("ProxyFetch", "url", "en.example/"), `monitor ProxyFetch: option url: "en.example/" is not`},
		{monitorOf("ProxyFetch", "url", "ftp://en.example/"), "option url"},
		{monitorOf("ProxyFetch", "url", "http:///x"), "option url"},
		{monitorOf("ProxyFetch", "url", "http://:80/x"), "option url"},
		{monitorOf("ProxyFetch", "url", "http://a b/"), "option url"},
		{monitorOf("ProxyFetch", "url", page, "url", "http://%zz/"), "option url"},
		{monitorOf("ProxyFetch", "url", page, "timeout", "5s"), `option timeout: "5s" is not a number`},
		{monitorOf("ProxyFetch", "url", page, "timeout", "NaN"), "option timeout"},
		{monitorOf("ProxyFetch", "url", page, "timeout", "Inf"), "option timeout"},
		{monitorOf("ProxyFetch", "url", page, "interval", "0"), "option interval"},
		{monitorOf("ProxyFetch", "url", page, "interval", "-1"), "option interval"},
		{monitorOf("ProxyFetch", "url", page, "interval", "1e300"), "option interval"},
		{monitorOf("ProxyFetch", "url", page, "interval", "1", "interval", "2"), "option interval: 2 values"},
		{monitorOf("ProxyFetch", "url", page, "http_status", "2xx"), "option http_status"},
		{monitorOf("ProxyFetch", "url", page, "http_status", "200, 204,404-410"), ""},
		{monitorOf("ProxyFetch", "url", page, "http_status", "200", "http_status", "300-399"), ""},
		{monitorOf("ProxyFetch", "url", page, "http_status", ""), "option http_status"},
		{monitorOf("ProxyFetch", "url", page, "http_status", "200,"), "option http_status"},
		{monitorOf("ProxyFetch", "url", page, "http_status", "204-200"), "option http_status"},
		{monitorOf("ProxyFetch", "url", page, "http_status", "200-999"), "option http_status"},
		{monitorOf("ProxyFetch", "url", page, "http_status", "+200"), "option http_status"},
		{monitorOf("ProxyFetch", "url", page, "host", "a.example:81"), ""},
		{monitorOf("ProxyFetch", "url", page, "host", "[2001:db8::1]"), ""},
		{monitorOf("ProxyFetch", "url", page, "host", "a/b"), "host"},
		{monitorOf("ProxyFetch", "url", page, "host", "a b"), "host"},
		{monitorOf("ProxyFetch", "url", page, "host", "user@a"), "host"},
		{monitorOf("ProxyFetch", "url", page, "host", "a\r\nX: y"), "host"},
		{monitorOf("ProxyFetch", "url", page, "header", "Server"), "option header"},
		{monitorOf("ProxyFetch", "url", page, "header", "Ser ver: x"), "option header"},
		{monitorOf("ProxyFetch", "url", page, "header", "Server: ("), "option header"},
		{monitorOf("ProxyFetch", "url", page, "header", "Server: ^x", "header", "etag:"), ""},
		{monitorOf("ProxyFetch", "url", page, "body", "["), "option body"},
		{monitorOf("ProxyFetch", "url", page, "max_failures", "1"), "option max_failures"},
		{monitorOf("ProxyFetch", "url", page, "url", page, "max_failures", "1"), "option max_failures"},
		{monitorOf("ProxyFetch", "url", page, "url", page, "max_failures", "1", "check_all", "yes"), ""},
		{monitorOf("ProxyFetch", "url", page, "url", page, "max_failures", "2", "check_all", "yes"), "option max_failures"},
		{monitorOf("ProxyFetch", "url", "https://a.example/", "tls-verify", "no", "tls-ca", "/no/such"), "option tls-ca"},
		{monitorOf("ProxyFetch", "url", "https://a.example/", "tls-ca", "/no/such/file"), "no such file"},
		{monitorOf("ProxyFetch", "url", "https://a.example/", "tls-ca", "/dev/null"), "no certificate in it"},
		{monitorOf("ProxyFetch", "url", "https://a.example/", "tls-verify", "yes", "sni", "b.example"), ""},
		{monitorOf("ProxyFetch", "url", page, "rise", "2", "fall", "3"), ""},
		{monitorOf("ProxyFetch", "url", page, "rise", "0"), "option rise"},
		{monitorOf("TCPConnect"), ""},
		{monitorOf("TCPConnect", "timeout", "x"), "monitor TCPConnect: option timeout"},
		{monitorOf("UDP", "icmp-timeout", "0"), ""},
		{monitorOf("UDP", "icmp-timeout", "-1"), "option icmp-timeout"},
		{monitorOf("DNSQuery"), "monitor DNSQuery: option hostnames: missing"},
		{monitorOf("DNSQuery", "hostnames", ""), "option hostnames"},
		{monitorOf("DNSQuery", "hostnames", "a..b"), "option hostnames"},
		{monitorOf("DNSQuery", "hostnames", "."), ""},
		{monitorOf("DNSQuery", "hostnames", "a.example", "port", "0"), "option port"},
		{monitorOf("RunCommand"), "monitor RunCommand: option command: missing"},
		{monitorOf("RunCommand", "command", "./x"), "option command"},
		{monitorOf("RunCommand", "command", "/x\x00"), "zero byte"},
		{monitorOf("RunCommand", "command", "/x", "timeout", "0"), ""},
		{monitorOf("ProxyFetch", "url", page, "http_status", "99"), "option http_status"},
		{monitorOf("ProxyFetch", "url", page, "url", page, "check_all", "yes"), ""},
		{monitorOf("IdleConnection", "keepalive", "perhaps"), "option keepalive"},
		{monitorOf("IdleConnection", "keepalive-retries", "0"), "option keepalive-retries"},
		{monitorOf("IdleConnection", "max-delay", ""), "option max-delay"},
	} {
		_, err := Validate(tt.monitor)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%v: %v", tt.monitor, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%v: error %v, want one with %q", tt.monitor, err, tt.want)
		}
	}
}

// What nobody looks at is told, by its name alone: one that is misspelt, and one
// that means nothing beside the others.
func TestValidateTellsWhatNobodyLooksAt(t *testing.T) {
	for _, tt := range []struct {
		monitor lb.Monitor
		want    []string
	}{
		{monitorOf("ProxyFetch", "url", "http://a/", "ulr", "http://b/", "Timeout", "1", "fall", "2"), []string{"Timeout", "ulr"}},
		{monitorOf("ProxyFetch", "url", "https://a/", "sni", "a", "tls-verify", "yes", "header", "A: b", "body", "c"), nil},
		{monitorOf("GRPCHealth", "sni", "a"), []string{"sni"}}, // without tls
		{monitorOf("GRPCHealth", "sni", "a", "tls", "yes"), nil},
		{monitorOf("RunCommand", "command", "/x", "arguments", "a"), nil},
		{monitorOf("UDP"), nil},
	} {
		ignored, err := Validate(tt.monitor)
		if err != nil || !slices.Equal(ignored, tt.want) {
			t.Errorf("%v: ignored %q, %v; want %q", tt.monitor, ignored, err, tt.want)
		}
	}
}

func FuzzValidate(f *testing.F) {
	f.Add("http://en.example/", "5", "200", "10", "yes")
	f.Add("https://[::1%25lo]:80/?a#b", "0.2", "302", "1e3", "0")
	f.Add("http://bücher.example/\x00", "0x1p-2", "+200", "1_0", "")
	f.Fuzz(func(t *testing.T, url, seconds, status, delay, yes string) {
		fetch := monitorOf("ProxyFetch", "url", url, "timeout", seconds, "interval", delay, "http_status", status)
		if c, err := compile(fetch); err == nil {
			c := c.check.(fetchCheck)
			if c.timeout <= 0 || c.timeout > longest || c.interval <= 0 || c.interval > longest {
				t.Errorf("times %v and %v are out of bounds", c.timeout, c.interval)
			}
			request := string(c.pages[0].request)
			if strings.Count(request, "\r\n\r\n") != 1 || !strings.HasPrefix(request, "GET ") {
				t.Errorf("request %q is not one request", request)
			}
		}
		idle := monitorOf("IdleConnection", "max-delay", delay, "timeout-clean-reconnect", seconds, "keepalive", yes)
		if c, err := compile(idle); err == nil {
			if c := c.check.(idleCheck); c.maxDelay <= 0 || c.reconnect <= 0 {
				t.Errorf("times %v and %v are out of bounds", c.maxDelay, c.reconnect)
			}
		}
	})
}

// Whatever the options of ours are, they are refused or harmless: the request
// stays one request, and statuses stay statuses.
func FuzzExpectations(f *testing.F) {
	f.Add("en.example:81", "Server: ^x", "a+b", "200-299,404", "a.example")
	f.Add("[::1]:80", "x:(", "(?i)[", "200", "..")
	f.Add("a\r\nb", ":", "", "-", "\\000")
	f.Fuzz(func(t *testing.T, host, header, body, status, name string) {
		fetch := monitorOf("ProxyFetch", "url", "http://a.example/", "host", host, "header", header, "body", body, "http_status", status)
		if c, err := compile(fetch); err == nil {
			c := c.check.(fetchCheck)
			request := string(c.pages[0].request)
			if strings.Count(request, "\r\n") != 5 || strings.Count(request, "\r\nHost: ") != 1 {
				t.Errorf("request %q is not the one meant", request)
			}
			for _, r := range c.status {
				if r.from < 100 || r.to > 599 || r.from > r.to {
					t.Errorf("statuses %v of %q", c.status, status)
				}
			}
		}
		if c, err := compile(monitorOf("DNSQuery", "hostnames", name)); err == nil {
			query := new(dns.Msg).SetQuestion(c.check.(dnsCheck).hostnames[0], dns.TypeA)
			if _, err := query.Pack(); err != nil {
				t.Errorf("name %q cannot be asked for: %v", name, err)
			}
		}
	})
}
