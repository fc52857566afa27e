package state

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"google.golang.org/grpc/credentials"
)

// handshake is TLS credentials that tell reach why a server and we do not come
// together: the client library would only say that there was no answer.
type handshake struct {
	credentials.TransportCredentials
	reach *reach
}

func (h handshake) Clone() credentials.TransportCredentials {
	return handshake{h.TransportCredentials.Clone(), h.reach}
}

func (h handshake) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	addr := raw.RemoteAddr().String()
	if d, ok := raw.(dialled); ok {
		addr = d.addr
	}
	conn, info, err := h.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		h.reach.note(addr, err)
		return conn, info, err
	}
	return &heard{Conn: conn, note: func(err error) { h.reach.note(addr, err) }}, info, nil
}

// dialled is a connection that knows by which address it was dialled.
type dialled struct {
	net.Conn
	addr string
}

// heard notes what the first read brings: a server tells only after the
// handshake that it does not like our certificate.
type heard struct {
	net.Conn
	note  func(error)
	first sync.Once
}

func (h *heard) Read(p []byte) (int, error) {
	n, err := h.Conn.Read(p)
	h.first.Do(func() {
		alert, ok := errors.AsType[*net.OpError](err)
		switch {
		case err == nil:
			h.note(nil)
		case ok && alert.Op == "remote error":
			h.note(fmt.Errorf("%s: %w", h.RemoteAddr(), err))
		}
	})
	return n, err
}
