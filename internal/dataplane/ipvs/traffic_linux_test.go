package ipvs

import (
	"bufio"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-lb/sluice/internal/dataplane"
)

// TestKernelTraffic sends real connections through a service: they follow the
// weights, and weight 0 takes no new ones but keeps those it has.
func TestKernelTraffic(t *testing.T) {
	needKernel(t)
	p := openKernel(t)
	vip := netip.MustParseAddrPort("127.1.0.1:80")
	first, second := netip.MustParseAddrPort("127.2.0.1:8080"), netip.MustParseAddrPort("127.2.0.2:8080")
	serve(t, first)
	serve(t, second)
	service := dataplane.Service{
		ID:        dataplane.ServiceID{Protocol: dataplane.TCP, VIP: vip},
		Scheduler: "wrr",
		Destinations: []dataplane.Destination{
			{Addr: first, Weight: 3, Forward: dataplane.Masquerade},
			{Addr: second, Weight: 1, Forward: dataplane.Masquerade},
		},
	}
	bring(t, p, dataplane.NewTable(service))

	count := map[netip.AddrPort]int{}
	kept := map[netip.AddrPort]*client{}
	for range 8 {
		c := dial(t, vip)
		server := c.ask(t)
		count[server]++
		kept[server] = c
	}
	if diff := cmp.Diff(map[string]int{first.String(): 6, second.String(): 2}, names(count)); diff != "" {
		t.Errorf("connections by server, weights 3 and 1 (-want +got):\n%s", diff)
	}

	service.Destinations[0].Weight = 0
	bring(t, p, dataplane.NewTable(service))
	for range 4 {
		if server := dial(t, vip).ask(t); server != second {
			t.Errorf("new connection went to %s, which has weight 0", server)
		}
	}
	if server := kept[first].ask(t); server != first {
		t.Errorf("old connection is answered by %s", server)
	}
}

func names(count map[netip.AddrPort]int) map[string]int {
	named := map[string]int{}
	for server, n := range count {
		named[server.String()] = n
	}
	return named
}

// serve answers every line with its own address. It listens in the network
// namespace of the calling thread.
func serve(t *testing.T, addr netip.AddrPort) {
	t.Helper()
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					if _, err := conn.Write([]byte(addr.String() + "\n")); err != nil {
						return
					}
				}
			}()
		}
	}()
}

type client struct {
	conn  *net.TCPConn
	lines *bufio.Scanner
}

func dial(t *testing.T, addr netip.AddrPort) *client {
	t.Helper()
	conn, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{conn: conn, lines: bufio.NewScanner(conn)}
}

// ask returns the server that answers the connection.
func (c *client) ask(t *testing.T) netip.AddrPort {
	t.Helper()
	if _, err := c.conn.Write([]byte("who\n")); err != nil {
		t.Fatal(err)
	}
	if !c.lines.Scan() {
		t.Fatalf("no answer: %v", c.lines.Err())
	}
	return netip.MustParseAddrPort(c.lines.Text())
}
