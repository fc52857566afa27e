package script_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/rogpeppe/go-internal/testscript"
)

// peer is the router's end of BGP sessions with AS 64601, down at the messages:
// what it hears it writes down, one line for each. It says both families and
// knows no AS numbers of four bytes, so that paths come in PyBal's form.
type peer struct {
	hold     uint16
	listener net.Listener

	mu     sync.Mutex
	silent bool
	heard  []string
	conns  []net.Conn
}

// peerDo does one of these:
//
//	peer listen ADDR HOLD      take sessions at ADDR:1790, with that hold time
//	peer mute                  send nothing any more
//	peer heard REGEXP [COUNT]  wait until COUNT lines match, or one; lines are
//	                             OPEN AS hold TIME id ID: CAPABILITY…
//	                             UPDATE PREFIX… {ATTRIBUTE}…
//	                             WITHDRAW PREFIX…
//	                             NOTIFICATION CODE/SUBCODE
//	                             END
//	! peer heard REGEXP        no line so far matches
func (w *world) peerDo(ts *testscript.TestScript, neg bool, args []string) {
	p := w.cases.peer
	if p == nil {
		p = &peer{}
		w.cases.peer = p
	}
	switch args[0] {
	case "listen":
		hold, err := strconv.ParseUint(args[2], 10, 16)
		ts.Check(err)
		p.hold = uint16(hold)
		p.listener, err = net.Listen("tcp", args[1]+":1790")
		ts.Check(err)
		go p.accept(args[1])
	case "mute":
		p.mu.Lock()
		defer p.mu.Unlock()
		p.silent = true
	case "heard":
		p.awaitLine(ts, neg, args[1:])
	default:
		ts.Fatalf("peer: no such verb %q", args[0])
	}
}

func (p *peer) awaitLine(ts *testscript.TestScript, neg bool, args []string) {
	pattern := regexp.MustCompile(args[0])
	want := 1
	if len(args) > 1 {
		_, err := fmt.Sscan(args[1], &want)
		ts.Check(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		lines := p.lines()
		n := 0
		for _, line := range lines {
			if pattern.MatchString(line) {
				n++
			}
		}
		switch {
		case neg && n == 0, !neg && n >= want:
			return
		case neg || time.Now().After(deadline):
			ts.Fatalf("peer: %d lines match %s; it heard\n%s", n, args[0], strings.Join(lines, "\n"))
		}
		time.Sleep(20 * time.Millisecond) // a pause between questions, not a wait for an outcome
	}
}

func (p *peer) lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.heard)
}

func (p *peer) hear(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = append(p.heard, line)
}

func (p *peer) close() {
	if p.listener != nil {
		_ = p.listener.Close()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
}

func (p *peer) accept(id string) {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.conns = append(p.conns, conn)
		p.mu.Unlock()
		go p.session(conn, netip.MustParseAddr(id))
	}
}

// session says OPEN and KEEPALIVE and then listens, saying KEEPALIVE whenever
// it hears one.
func (p *peer) session(conn net.Conn, id netip.Addr) {
	defer p.hear("END")
	defer conn.Close()
	capabilities := []bgp.ParameterCapabilityInterface{
		bgp.NewCapMultiProtocol(bgp.RF_IPv4_UC), bgp.NewCapMultiProtocol(bgp.RF_IPv6_UC),
	}
	open, err := bgp.NewBGPOpenMessage(64601, p.hold, id, []bgp.OptionParameterInterface{bgp.NewOptionParameterCapability(capabilities)})
	if err != nil || p.send(conn, open) != nil {
		return
	}
	for {
		m, err := receive(conn)
		if err != nil {
			if err != io.EOF {
				p.hear("TROUBLE " + err.Error())
			}
			return
		}
		if line := inWords(m); line != "" {
			p.hear(line)
		}
		switch m.Header.Type {
		case bgp.BGP_MSG_OPEN, bgp.BGP_MSG_KEEPALIVE:
			if p.send(conn, bgp.NewBGPKeepAliveMessage()) != nil {
				return
			}
		}
	}
}

func (p *peer) send(conn net.Conn, m *bgp.BGPMessage) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.silent {
		return nil
	}
	data, err := m.Serialize()
	if err != nil {
		return err
	}
	_, err = conn.Write(data)
	return err
}

func receive(conn net.Conn) (*bgp.BGPMessage, error) {
	data := make([]byte, bgp.BGP_HEADER_LENGTH)
	if _, err := io.ReadFull(conn, data); err != nil {
		return nil, err
	}
	header := &bgp.BGPHeader{}
	if err := header.DecodeFromBytes(data); err != nil {
		return nil, err
	}
	if header.Len < bgp.BGP_HEADER_LENGTH {
		return nil, os.ErrInvalid
	}
	body := make([]byte, header.Len-bgp.BGP_HEADER_LENGTH)
	if _, err := io.ReadFull(conn, body); err != nil {
		return nil, err
	}
	return bgp.ParseBGPBody(header, body, &bgp.MarshallingOption{Use2ByteAS: true})
}

// inWords writes a message as one line; keepalives and ends of tables are none.
func inWords(m *bgp.BGPMessage) string {
	switch body := m.Body.(type) {
	case *bgp.BGPOpen:
		line := fmt.Sprintf("OPEN %d hold %d id %s:", body.MyAS, body.HoldTime, body.ID)
		for _, o := range body.OptParams {
			if c, ok := o.(*bgp.OptionParameterCapability); ok {
				for _, c := range c.Capability {
					line += " " + c.Code().String()
					if mp, ok := c.(*bgp.CapMultiProtocol); ok {
						line += "(" + mp.CapValue.String() + ")"
					}
				}
			}
		}
		return line
	case *bgp.BGPNotification:
		return fmt.Sprintf("NOTIFICATION %d/%d", body.ErrorCode, body.ErrorSubcode)
	case *bgp.BGPUpdate:
		return updateInWords(body)
	}
	return ""
}

func updateInWords(u *bgp.BGPUpdate) string {
	var said, withdrawn, attrs []string
	for _, n := range u.NLRI {
		said = append(said, n.NLRI.String())
	}
	for _, n := range u.WithdrawnRoutes {
		withdrawn = append(withdrawn, n.NLRI.String())
	}
	for _, a := range u.PathAttributes {
		switch a := a.(type) {
		case *bgp.PathAttributeMpReachNLRI:
			for _, n := range a.Value {
				said = append(said, n.NLRI.String())
			}
			attrs = append(attrs, fmt.Sprintf("{MpReach: %s}", a.Nexthop))
		case *bgp.PathAttributeMpUnreachNLRI:
			for _, n := range a.Value {
				withdrawn = append(withdrawn, n.NLRI.String())
			}
		default:
			attrs = append(attrs, a.(fmt.Stringer).String())
		}
	}
	slices.Sort(attrs)
	switch {
	case len(withdrawn) > 0:
		return "WITHDRAW " + strings.Join(withdrawn, " ")
	case len(said) > 0:
		return "UPDATE " + strings.Join(append(said, attrs...), " ")
	}
	return ""
}
