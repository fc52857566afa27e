package userspace

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// udpBackend answers every datagram with its name and what it got.
func udpBackend(t *testing.T, name byte) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, maxDatagram)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			conn.WriteToUDPAddrPort(append([]byte{name}, buf[:n]...), from)
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

func udpClient(t *testing.T, vip netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(vip))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// ask sends a datagram and returns the name of the backend that echoes it.
func ask(t *testing.T, c *net.UDPConn, text string) byte {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, maxDatagram)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(buf[1:n]); got != text {
		t.Fatalf("got %q, want %q", got, text)
	}
	return buf[0]
}

func TestUDPFlowStaysWithItsDestination(t *testing.T) {
	p := newPlane(t)
	vip := address(t, 20, 1)
	a, b := udpBackend(t, 'a'), udpBackend(t, 'b')
	bring(t, p, serving(udpID(vip), weights{a: 1, b: 1}))
	got := map[byte]int{}
	for range 10 {
		c := udpClient(t, vip)
		name := ask(t, c, "first")
		got[name]++
		for range 3 {
			if again := ask(t, c, ""); again != name {
				t.Errorf("flow went from %c to %c", name, again)
			}
		}
	}
	if diff := cmp.Diff(map[byte]int{'a': 5, 'b': 5}, got); diff != "" {
		t.Errorf("flows (-want +got):\n%s", diff)
	}
	await(t, p, udpID(vip), map[netip.AddrPort]int{a: 5, b: 5})
}

func TestUDPLargeDatagram(t *testing.T) {
	p := newPlane(t)
	vip := address(t, 20, 2)
	bring(t, p, serving(udpID(vip), weights{udpBackend(t, 'a'): 1}))
	ask(t, udpClient(t, vip), string(make([]byte, 60_000)))
}

func TestUDPWeightZeroKeepsFlowsRemovalEndsThem(t *testing.T) {
	p := newPlane(t)
	vip := address(t, 20, 3)
	id := udpID(vip)
	a, b := udpBackend(t, 'a'), udpBackend(t, 'b')
	bring(t, p, serving(id, weights{a: 1}))
	c := udpClient(t, vip)
	ask(t, c, "hello")
	bring(t, p, serving(id, weights{a: 0, b: 1}))
	if name := ask(t, c, "hello"); name != 'a' {
		t.Errorf("flow left for %c", name)
	}
	if name := ask(t, udpClient(t, vip), "hello"); name != 'b' {
		t.Errorf("new flow went to %c, which has weight 0", name)
	}
	bring(t, p, serving(id, weights{b: 1}))
	await(t, p, id, map[netip.AddrPort]int{b: 1})
	if name := ask(t, c, "hello"); name != 'b' {
		t.Errorf("flow stayed with %c, which is removed", name)
	}
	bring(t, p)
	await(t, p, id, nil)
	bring(t, p, serving(id, weights{a: 1}))
	if name := ask(t, c, "back"); name != 'a' {
		t.Errorf("got %c, want a", name)
	}
}

func TestUDPOnePacket(t *testing.T) {
	p := newPlane(t)
	vip := address(t, 20, 4)
	s := serving(udpID(vip), weights{udpBackend(t, 'a'): 1, udpBackend(t, 'b'): 2})
	s.OnePacket = true
	bring(t, p, s)
	c := udpClient(t, vip)
	got := map[byte]int{}
	for range 9 {
		got[ask(t, c, "hello")]++
	}
	if diff := cmp.Diff(map[byte]int{'a': 3, 'b': 6}, got); diff != "" {
		t.Errorf("datagrams (-want +got):\n%s", diff)
	}
}

// limits changes the bounds of an open service.
func limits(p *Plane, vip netip.AddrPort, flows int, idle time.Duration) {
	d := p.services[udpID(vip)].door.(*udpDoor)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.limit, d.idle = flows, idle
}

func TestUDPDropsTheFlowThatWasSilentLongest(t *testing.T) {
	p := newPlane(t)
	vip := address(t, 20, 5)
	a := udpBackend(t, 'a')
	bring(t, p, serving(udpID(vip), weights{a: 1}))
	limits(p, vip, 3, flowIdle)
	d := p.services[udpID(vip)].door.(*udpDoor)
	var clients []*net.UDPConn
	for range 3 {
		c := udpClient(t, vip)
		ask(t, c, "hello")
		clients = append(clients, c)
	}
	ask(t, clients[0], "not silent")
	clients = append(clients, udpClient(t, vip))
	ask(t, clients[3], "one too many")
	await(t, p, udpID(vip), map[netip.AddrPort]int{a: 3})
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, want := range []bool{true, false, true, true} {
		_, there := d.flows[flowKey{client: clients[i].LocalAddr().(*net.UDPAddr).AddrPort()}]
		if there != want {
			t.Errorf("flow %d: there is %v, want %v", i, there, want)
		}
	}
}

func TestUDPIdleFlowEnds(t *testing.T) {
	p := newPlane(t)
	vip := address(t, 20, 6)
	a := udpBackend(t, 'a')
	bring(t, p, serving(udpID(vip), weights{a: 1}))
	limits(p, vip, maxFlows, 20*time.Millisecond)
	ask(t, udpClient(t, vip), "hello")
	await(t, p, udpID(vip), nil)
}

// Nobody listens at the destination: its flow ends, and the next datagram is
// free to go elsewhere.
func TestUDPRefusedFlowEnds(t *testing.T) {
	p := newPlane(t)
	vip, dead := address(t, 20, 7), address(t, 20, 8)
	bring(t, p, serving(udpID(vip), weights{dead: 1}))
	c := udpClient(t, vip)
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	bring(t, p, serving(udpID(vip), weights{udpBackend(t, 'a'): 1}))
	await(t, p, udpID(vip), nil)
	ask(t, c, "hello")
}
