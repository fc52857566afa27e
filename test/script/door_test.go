package script_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// door is a bare TCP server at $NET.N:8080, for checks that look no further
// than the connection. Its name is in the hosts file, as those of backends are.
type door struct {
	addr string

	mu       sync.Mutex
	listener net.Listener
	slams    bool
	open     []net.Conn
	accepted []time.Time
}

// door does one of these:
//
//	door beN open              listen, take connections and keep them
//	door beN slam              listen, take connections and close them at once
//	door beN deaf              listen, answer no attempt to connect
//	door beN shut              stop listening
//	door beN fin               close the connections there are
//	door beN rst               reset them
//	door beN came COUNT [LEAST [MOST]]
//	                           wait until there have been COUNT connections;
//	                           between the last two of them lies that much time
//	door beN left              wait until the other side has closed all
func (w *world) door(ts *testscript.TestScript, name string, args []string) {
	d, ok := w.cases.doors[name]
	if !ok {
		d = &door{addr: w.net + "." + name[len("be"):] + ":8080"}
		if w.cases.doors == nil {
			w.cases.doors = map[string]*door{}
		}
		w.cases.doors[name] = d
		ts.Check(w.addHost(name, d.addr))
	}
	switch args[0] {
	case "open", "slam":
		ts.Check(d.listen(args[0] == "slam"))
	case "deaf":
		ts.Check(d.deafen())
	case "shut":
		d.shut()
	case "fin", "rst":
		d.end(args[0] == "rst")
	case "came":
		d.came(ts, args[1:])
	case "left":
		ts.Check(d.left())
	default:
		ts.Fatalf("door: no such verb %q", args[0])
	}
}

func (d *door) came(ts *testscript.TestScript, args []string) {
	count, err := strconv.Atoi(args[0])
	ts.Check(err)
	patiently(ts, d.addr+" has not had "+args[0]+" connections", func() bool { return len(d.times()) >= count })
	times := d.times()
	for i, bound := range args[1:] {
		limit, err := time.ParseDuration(bound)
		ts.Check(err)
		gap := times[count-1].Sub(times[count-2])
		if i == 0 && gap < limit || i == 1 && gap > limit {
			ts.Fatalf("%s: connection %d came %v after the one before", d.addr, count, gap)
		}
	}
}

// addHost makes the server known. lbd reads the
// file when it starts.
func (w *world) addHost(name, addr string) error {
	f, err := os.OpenFile(filepath.Join(w.dir, "hosts"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s %s\n", host, name)
	return err
}

// patiently asks until the answer is yes, 20 s at most.
func patiently(ts *testscript.TestScript, trouble string, ask func() bool) {
	for deadline := time.Now().Add(20 * time.Second); !ask(); {
		if time.Now().After(deadline) {
			ts.Fatalf("%s", trouble)
		}
		time.Sleep(20 * time.Millisecond) // a pause between questions, not a wait for an outcome
	}
}

func (d *door) listen(slams bool) error {
	l, err := net.Listen("tcp", d.addr)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.listener, d.slams = l, slams
	d.mu.Unlock()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			d.take(conn)
		}
	}()
	return nil
}

// deafen listens with a queue for one connection, and fills it: the kernel
// then drops what else arrives.
func (d *door) deafen() error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), d.addr)
	defer f.Close() // the listener has a copy
	addr, err := netip.ParseAddrPort(d.addr)
	if err != nil {
		return err
	}
	err = errors.Join(
		syscall.Bind(fd, &syscall.SockaddrInet4{Addr: addr.Addr().As4(), Port: int(addr.Port())}),
		syscall.Listen(fd, 0))
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listener, err = net.FileListener(f); err != nil {
		return err
	}
	for {
		conn, err := net.DialTimeout("tcp", d.addr, 200*time.Millisecond)
		if err != nil {
			return nil
		}
		d.open = append(d.open, conn)
	}
}

func (d *door) take(conn net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.accepted = append(d.accepted, time.Now())
	if d.slams {
		_ = conn.Close()
		return
	}
	d.open = append(d.open, conn)
}

func (d *door) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listener != nil {
		_ = d.listener.Close()
		d.listener = nil
	}
}

// end closes the connections, cleanly or not.
func (d *door) end(reset bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, conn := range d.open {
		if reset {
			_ = conn.(*net.TCPConn).SetLinger(0)
		}
		_ = conn.Close()
	}
	d.open = nil
}

// left reads each connection to its end.
func (d *door) left() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, conn := range d.open {
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		_, err := conn.Read(make([]byte, 1))
		_ = conn.Close()
		if err != io.EOF {
			return fmt.Errorf("%s: the other side stays: %w", d.addr, err)
		}
	}
	d.open = nil
	return nil
}

func (d *door) times() []time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.accepted
}
