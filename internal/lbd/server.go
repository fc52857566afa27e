package lbd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"

	"github.com/sluice-lb/sluice/internal/bgp"
	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// Limits of the status server: nobody has a reason to be slower or larger. Who
// follows /v1/events sets its own time for each write.
const (
	headerTimeout  = 5 * time.Second
	writeTimeout   = lbstatus.MaxWait + 30*time.Second
	idleTimeout    = 2 * time.Minute
	headerBytes    = 16 << 10
	maxConnections = 1000 // on one address
)

// serve starts the status server on every configured address.
func (p *program) serve(board *lbstatus.Board, speaker *bgp.Speaker, monitors *monitorCollector) error {
	peers := newBGPCollector(p.Config.Global.BGP, func() []bgp.PeerState { return speaker.Peers() })
	handler := routes(board, p.Config.Global.Name, newRegistry(board, version(), peers, p.configStale(), monitors))
	var secure *tls.Config
	if global := p.Config.Global; global.TLSCert != "" {
		cert, err := loadCertificate(global.TLSCert, global.TLSKey, p.Log)
		if err != nil {
			return fmt.Errorf("status server: %w", err)
		}
		secure = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: cert.get}
	}
	for _, addr := range p.Config.Global.Listen() {
		listener, err := net.Listen("tcp", addr.String())
		if err != nil {
			return fmt.Errorf("status server: %w", err)
		}
		server := newServer(handler, secure, p.Log)
		p.life.start("status server on "+addr.String(), func(ctx context.Context) error {
			return serveUntil(ctx, server, listener)
		})
	}
	return nil
}

// newServer returns a server with all limits; one for HTTPS if secure is given.
func newServer(handler http.Handler, secure *tls.Config, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: handler, TLSConfig: secure,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: headerBytes,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// serveUntil serves until ctx ends, which ends every request as well.
func serveUntil(ctx context.Context, server *http.Server, listener net.Listener) error {
	listener = netutil.LimitListener(listener, maxConnections)
	server.BaseContext = func(net.Listener) context.Context { return ctx }
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	serve := server.Serve
	if server.TLSConfig != nil {
		serve = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	if err := serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
