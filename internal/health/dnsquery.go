package health

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// dnsCheck is PyBal's DNSQuery: it asks the server for an address of one of
// the host names, and any answer but an error will do. It asks nobody else:
// PyBal turns to this machine's own resolvers where the server is silent, and
// so finds it up.
type dnsCheck struct {
	rhythm
	hostnames      []string
	port           uint16
	failOnNXDomain bool
}

// Bounds of what one query takes in and sends out.
const (
	maxDNSAnswer = 4096 // bytes read of one datagram
	maxDNSStray  = 16   // datagrams that answer something else
	dnsTries     = 3    // a datagram may get lost
)

// newDNS reads PyBal's options. port is ours: PyBal always asks port 53,
// whatever the service's.
func newDNS(o *options) dnsCheck {
	c := dnsCheck{
		rhythm:         newRhythm(o, 10*time.Second, 5*time.Second),
		port:           uint16(o.whole("port", 53, 1, 65535)),
		failOnNXDomain: o.yes("fail-on-nxdomain", false),
	}
	for _, name := range o.list("hostnames") {
		if _, err := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA).Pack(); err != nil || name == "" {
			o.fail("hostnames", "%q is not a domain name", name)
		}
		c.hostnames = append(c.hostnames, dns.Fqdn(name))
	}
	return c
}

func (c dnsCheck) run(ctx context.Context, p *probe) { c.keep(ctx, p, c.look) }

func (c dnsCheck) look(ctx context.Context, p *probe) error {
	kind := [...]uint16{dns.TypeA, dns.TypeAAAA}[rand.IntN(2)]
	start := time.Now()
	err := c.ask(ctx, p, c.hostnames[rand.IntN(len(c.hostnames))], kind)
	p.account.took(Look{OK: err == nil}, time.Since(start))
	return err
}

// ask sends a query, and again when a third of the time has passed, until
// there is an answer.
func (c dnsCheck) ask(ctx context.Context, p *probe, name string, kind uint16) error {
	query := new(dns.Msg).SetQuestion(name, kind)
	query.Id = uint16(rand.Uint32())
	packed, err := query.Pack()
	if err != nil {
		return fmt.Errorf("write query: %w", err)
	}
	conn, done, err := p.connect(ctx, "udp", netip.AddrPortFrom(p.addr.Addr(), c.port))
	if err != nil {
		return err
	}
	defer done()
	buf := make([]byte, maxDNSAnswer)
	for try := 1; ; try++ {
		if _, err := conn.Write(packed); err != nil {
			return err
		}
		err := c.await(ctx, conn, query, buf)
		if !timedOut(err) || ctx.Err() != nil || try == dnsTries {
			return err
		}
	}
}

// await reads until the answer to query comes, for a third of the time at
// most.
func (c dnsCheck) await(ctx context.Context, conn net.Conn, query *dns.Msg, buf []byte) error {
	if err := conn.SetReadDeadline(time.Now().Add(c.timeout / dnsTries)); err != nil {
		return err
	}
	if ctx.Err() != nil { // its deadline may have come before ours
		return ctx.Err()
	}
	for range maxDNSStray {
		n, err := conn.Read(buf)
		if err != nil {
			return err
		}
		if rcode, ok := answers(buf[:n], query); ok {
			return c.judge(rcode)
		}
	}
	return errors.New("answers are no answers to the query")
}

// answers tells whether a datagram is the answer to query, and its code. More
// than its header and question are not looked at: that it answers is the point.
func answers(datagram []byte, query *dns.Msg) (rcode int, ok bool) {
	var header dns.Msg
	if err := header.Unpack(datagram); err != nil && len(header.Question) == 0 {
		return 0, false
	}
	if !header.Response || header.Id != query.Id || header.Opcode != dns.OpcodeQuery {
		return 0, false
	}
	if len(header.Question) == 0 { // some servers leave it out of an error
		return header.Rcode, header.Rcode != dns.RcodeSuccess && header.Rcode != dns.RcodeNameError
	}
	return header.Rcode, same(header.Question[0], query.Question[0])
}

func same(a, b dns.Question) bool {
	return a.Qtype == b.Qtype && a.Qclass == b.Qclass && dns.CanonicalName(a.Name) == dns.CanonicalName(b.Name)
}

func (c dnsCheck) judge(rcode int) error {
	switch {
	case rcode == dns.RcodeSuccess, rcode == dns.RcodeNameError && !c.failOnNXDomain:
		return nil
	}
	if text, ok := dns.RcodeToString[rcode]; ok {
		return errors.New(text)
	}
	return fmt.Errorf("response code %d", rcode)
}

func timedOut(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
