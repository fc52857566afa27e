package userspace

import (
	"container/list"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// flowKey names a flow: by its client, and by its destination only where one
// client has several.
type flowKey struct {
	client, dest netip.AddrPort
}

// flow is the way of one client's datagrams and of the answers to them.
type flow struct {
	key      flowKey
	dest     netip.AddrPort
	upstream *net.UDPConn
	place    *list.Element
	active   atomic.Int64 // when a datagram last passed, by the door's clock
}

// answer hands the destination's datagrams to the client until the flow ends or
// has been idle for too long.
func (d *udpDoor) answer(f *flow) {
	defer d.drop(f)
	for {
		idle := d.now() - time.Duration(f.active.Load())
		if idle >= d.idle {
			return
		}
		if err := f.upstream.SetReadDeadline(time.Now().Add(d.idle - idle)); err != nil {
			return
		}
		err := d.answerOne(f)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
}

// answerOne waits for one datagram and hands it on. The buffer is taken only
// once there is something to read: there may be thousands of flows.
func (d *udpDoor) answerOne(f *flow) error {
	raw, err := f.upstream.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	err = raw.Read(func(fd uintptr) bool {
		buf := d.buffers.Get().(*[maxDatagram]byte)
		defer d.buffers.Put(buf)
		n, err := syscall.Read(int(fd), buf[:])
		switch {
		case err == nil:
			f.active.Store(int64(d.now()))
			if _, err := d.conn.WriteToUDPAddrPort(buf[:n], f.key.client); err != nil {
				d.log.Debug("answer not sent", "client", f.key.client, "destination", f.dest, "err", err)
			}
			return true
		case errors.Is(err, syscall.EAGAIN):
			return false
		case errors.Is(err, syscall.EINTR):
			return true
		}
		failure = os.NewSyscallError("read", err)
		return true
	})
	if err != nil {
		return err
	}
	return failure
}
