package userspace

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-lb/sluice/internal/dataplane"
)

func TestTCPSharesByWeight(t *testing.T) {
	p := newPlane(t)
	vip := address(t, 10, 1)
	bring(t, p, serving(tcpID(vip), weights{
		tcpBackend(t, named('a')): 1,
		tcpBackend(t, named('b')): 2,
		tcpBackend(t, named('c')): 0,
	}))
	got := map[byte]int{}
	for range 30 {
		_, name := who(t, vip)
		got[name]++
	}
	if diff := cmp.Diff(map[byte]int{'a': 10, 'b': 20}, got); diff != "" {
		t.Errorf("connections (-want +got):\n%s", diff)
	}
}

func TestTCPCountsConnections(t *testing.T) {
	p := newPlane(t)
	vip := address(t, 10, 2)
	a, b := tcpBackend(t, named('a')), tcpBackend(t, named('b'))
	bring(t, p, serving(tcpID(vip), weights{a: 1, b: 1}))
	var conns []*net.TCPConn
	for range 6 {
		c, _ := who(t, vip)
		conns = append(conns, c)
	}
	want := map[dataplane.ServiceID]map[netip.AddrPort]int{tcpID(vip): {a: 3, b: 3}}
	if got := p.Connections(); !maps.EqualFunc(got, want, sameCounts) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, c := range conns {
		c.Close()
	}
	await(t, p, tcpID(vip), nil)
	if got := p.Connections(); len(got) > 0 {
		t.Errorf("got %v, want none", got)
	}
}

// A destination is taken away, then its service: its connection goes on.
func TestTCPDrains(t *testing.T) {
	p := newPlane(t)
	vip := address(t, 10, 3)
	id := tcpID(vip)
	a, b := tcpBackend(t, named('a')), tcpBackend(t, named('b'))
	bring(t, p, serving(id, weights{a: 1}))
	old, _ := who(t, vip)

	bring(t, p, serving(id, weights{a: 0, b: 1}))
	if _, name := who(t, vip); name != 'b' {
		t.Errorf("new connection went to %c, which has weight 0", name)
	}
	echoes(t, old, "weight 0")

	bring(t, p, serving(id, weights{b: 1}))
	for range 3 {
		if _, name := who(t, vip); name != 'b' {
			t.Errorf("new connection went to %c, which is removed", name)
		}
	}
	echoes(t, old, "removed")
	await(t, p, id, map[netip.AddrPort]int{a: 1, b: 4})

	bring(t, p)
	if _, err := net.Dial("tcp", vip.String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dialling a removed service: got %v, want %v", err, syscall.ECONNREFUSED)
	}
	echoes(t, old, "service removed")
	await(t, p, id, map[netip.AddrPort]int{a: 1, b: 4})

	// Back at once, at the same address, beside its old connections.
	bring(t, p, serving(id, weights{a: 1}))
	_, name := who(t, vip)
	if name != 'a' {
		t.Errorf("got %c, want a", name)
	}
	echoes(t, old, "and back")
	await(t, p, id, map[netip.AddrPort]int{a: 2, b: 4})
	old.Close()
	await(t, p, id, map[netip.AddrPort]int{a: 1, b: 4})
}

func TestTCPEditsTouchNoConnection(t *testing.T) {
	p := newPlane(t)
	vip := address(t, 10, 4)
	a := tcpBackend(t, named('a'))
	s := serving(tcpID(vip), weights{a: 1})
	bring(t, p, s)
	c, _ := who(t, vip)
	for _, scheduler := range []string{"rr", "wlc", "sh", "wrr"} {
		s.Scheduler = scheduler
		bring(t, p, s)
		who(t, vip)
		echoes(t, c, scheduler)
	}
}

func TestTCPWithoutDestinationIsReset(t *testing.T) {
	p := newPlane(t)
	vip := address(t, 10, 5)
	bring(t, p, serving(tcpID(vip), nil))
	isTurnedAway(t, vip)
	bring(t, p, serving(tcpID(vip), weights{tcpBackend(t, named('a')): 0}))
	isTurnedAway(t, vip)
}

func TestTCPPassesOverTheDead(t *testing.T) {
	p := newPlane(t)
	vip, dead, dead2 := address(t, 10, 6), address(t, 10, 7), address(t, 10, 8)
	a := tcpBackend(t, named('a'))
	bring(t, p, serving(tcpID(vip), weights{dead: 100, a: 1, dead2: 100}))
	for range 5 {
		if _, name := who(t, vip); name != 'a' {
			t.Errorf("got %c, want a", name)
		}
	}
	await(t, p, tcpID(vip), map[netip.AddrPort]int{a: 5})
	bring(t, p, serving(tcpID(vip), weights{dead: 100, dead2: 100}))
	isTurnedAway(t, vip)
}

// What one side ends, the other still answers, whichever ends first.
func TestTCPHalfClose(t *testing.T) {
	p := newPlane(t)
	byClient, byServer := address(t, 10, 9), address(t, 10, 10)
	sum := func(c *net.TCPConn) { // answers once all has been heard
		all, _ := io.ReadAll(c)
		c.Write(append([]byte("heard "), all...))
	}
	heard := make(chan string, 1)
	greet := func(c *net.TCPConn) { // ends first, then listens
		io.WriteString(c, "greetings")
		c.CloseWrite()
		all, _ := io.ReadAll(c)
		heard <- string(all)
	}
	bring(t, p,
		serving(tcpID(byClient), weights{tcpBackend(t, sum): 1}),
		serving(tcpID(byServer), weights{tcpBackend(t, greet): 1}),
	)

	c := dial(t, byClient)
	io.WriteString(c, "hello")
	c.CloseWrite()
	if all, err := io.ReadAll(c); string(all) != "heard hello" || err != nil {
		t.Errorf("got %q, %v", all, err)
	}

	c = dial(t, byServer)
	if all, err := io.ReadAll(c); string(all) != "greetings" || err != nil {
		t.Errorf("got %q, %v", all, err)
	}
	await(t, p, tcpID(byServer), map[netip.AddrPort]int{onlyDest(t, p, byServer): 1})
	io.WriteString(c, "still here")
	c.Close()
	if got := <-heard; got != "still here" {
		t.Errorf("server heard %q", got)
	}
	await(t, p, tcpID(byServer), nil)
}

func onlyDest(t *testing.T, p *Plane, vip netip.AddrPort) netip.AddrPort {
	t.Helper()
	table, err := p.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s, ok := table.Find(tcpID(vip))
	if !ok || len(s.Destinations) != 1 {
		t.Fatalf("%s has %v", vip, s.Destinations)
	}
	return s.Destinations[0].Addr
}

func TestTCPPassesResetsOn(t *testing.T) {
	p := newPlane(t)
	vip := address(t, 10, 11)
	ended := make(chan error, 1)
	a := tcpBackend(t, func(c *net.TCPConn) {
		c.Write([]byte("a"))
		buf := make([]byte, 1)
		if _, err := io.ReadFull(c, buf); err != nil {
			ended <- err
			return
		}
		c.SetLinger(0) // asked to break off
	})
	bring(t, p, serving(tcpID(vip), weights{a: 1}))

	c, _ := who(t, vip)
	c.SetLinger(0)
	c.Close()
	if err := <-ended; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("server's connection ended with %v", err)
	}

	c, _ = who(t, vip)
	c.Write([]byte("x"))
	isReset(t, c)
	await(t, p, tcpID(vip), nil)
}

// A server answers early and hangs up on what is still being sent, so that its
// side breaks: the answer gets through all the same.
func TestTCPEarlyAnswer(t *testing.T) {
	p := newPlane(t)
	vip := address(t, 10, 12)
	const answer = "too large"
	a := tcpBackend(t, func(c *net.TCPConn) {
		io.ReadFull(c, make([]byte, 10))
		io.WriteString(c, answer)
	})
	bring(t, p, serving(tcpID(vip), weights{a: 1}))
	for range 20 {
		c := dial(t, vip)
		go c.Write(make([]byte, 1<<20))
		if got := string(read(t, c, len(answer))); got != answer {
			t.Errorf("got %q", got)
		}
		c.Close()
	}
	await(t, p, tcpID(vip), nil)
}

func TestTCPCarriesMuchBothWays(t *testing.T) {
	p := newPlane(t)
	vip := address(t, 10, 13)
	bring(t, p, serving(tcpID(vip), weights{tcpBackend(t, echo): 1}))
	c := dial(t, vip)
	sent := make([]byte, 32<<20)
	src := rand.NewChaCha8([32]byte{1})
	src.Read(sent)
	go func() {
		c.Write(sent)
		c.CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("got %d bytes of %d, equal: %v, error: %v", len(got), len(sent), bytes.Equal(got, sent), err)
	}
}

func TestTCPManyAtOnce(t *testing.T) {
	p := newPlane(t)
	vip := address(t, 10, 14)
	a, b := tcpBackend(t, named('a')), tcpBackend(t, named('b'))
	bring(t, p, serving(tcpID(vip), weights{a: 1, b: 3}))
	const clients = 400
	conns := make([]net.Conn, clients)
	var wg sync.WaitGroup
	for i := range conns {
		wg.Go(func() {
			c, err := net.Dial("tcp", vip.String())
			if err != nil {
				t.Error(err)
				return
			}
			conns[i] = c
			text := bytes.Repeat([]byte{byte(i)}, 5000)
			go c.Write(text)
			buf := make([]byte, 1+len(text))
			if _, err := io.ReadFull(c, buf); err != nil || !bytes.Equal(buf[1:], text) {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	await(t, p, tcpID(vip), map[netip.AddrPort]int{a: clients / 4, b: clients * 3 / 4})
	for _, c := range conns {
		if c != nil {
			c.Close()
		}
	}
	await(t, p, tcpID(vip), nil)
}
