// Package devetcd runs a real etcd server inside this process, for the sandbox
// and for tests. It trades durability for speed (no fsync) and is never linked
// into a program an operator installs.
package devetcd

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// Options choose where a server keeps its data and listens.
type Options struct {
	// Dir is the data directory, made if need be and kept. Empty means a
	// temporary one that Close removes.
	Dir string
	// Listen is the "host:port" for clients; empty means a free port on
	// 127.0.0.1.
	Listen string
	// AutoCompact, if set, keeps only that many revisions of history.
	AutoCompact int64
	// CertFile and KeyFile, if set, make the server speak TLS to its clients;
	// CAFile makes it want certificates of that authority from them.
	CertFile, KeyFile, CAFile string
	// Fsync makes the server wait for the disk before it answers, as one in
	// production does.
	Fsync bool
	// TokenTTL is how many seconds a login is good for; 0 is etcd's five minutes.
	TokenTTL uint
}

// Server is one running single-member etcd.
type Server struct {
	etcd  *embed.Etcd
	temp  string
	close sync.Once
}

// startTimeout bounds the wait for the server to be ready.
const startTimeout = 20 * time.Second

// Start starts a server and waits until it answers.
func Start(opts Options) (*Server, error) {
	s := &Server{}
	if opts.Dir == "" {
		dir, err := os.MkdirTemp("", "devetcd-")
		if err != nil {
			return nil, fmt.Errorf("make etcd data directory: %w", err)
		}
		opts.Dir, s.temp = dir, dir
	}
	if err := s.start(opts); err != nil {
		return nil, errors.Join(fmt.Errorf("start etcd: %w", err), s.Close())
	}
	return s, nil
}

func (s *Server) start(opts Options) error {
	cfg, err := config(opts)
	if err != nil {
		return err
	}
	s.etcd, err = embed.StartEtcd(cfg)
	if err != nil {
		return err
	}
	return ready(s.etcd)
}

// ready waits until a server has joined its cluster and answers.
func ready(etcd *embed.Etcd) error {
	select {
	case <-etcd.Server.ReadyNotify():
		return nil
	case err := <-etcd.Err():
		return err
	case <-time.After(startTimeout):
		return fmt.Errorf("not ready after %s", startTimeout)
	}
}

// quiet is the configuration all servers share: no log, no fsync.
func quiet(dir string) *embed.Config {
	cfg := embed.NewConfig()
	cfg.Dir = dir
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	cfg.LogOutputs = []string{"/dev/null"}
	cfg.UnsafeNoFsync = true
	return cfg
}

func config(opts Options) (*embed.Config, error) {
	cfg := quiet(opts.Dir)
	cfg.UnsafeNoFsync = !opts.Fsync
	// One member elects itself: a short timeout is the time to readiness.
	cfg.TickMs, cfg.ElectionMs = 10, 50
	if opts.AutoCompact > 0 {
		cfg.AutoCompactionMode = "revision"
		cfg.AutoCompactionRetention = fmt.Sprint(opts.AutoCompact)
	}
	listen := opts.Listen
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	scheme := "http://"
	if opts.CertFile != "" {
		scheme = "https://"
		cfg.ClientTLSInfo.CertFile, cfg.ClientTLSInfo.KeyFile = opts.CertFile, opts.KeyFile
		cfg.ClientTLSInfo.TrustedCAFile, cfg.ClientTLSInfo.ClientCertAuth = opts.CAFile, opts.CAFile != ""
	}
	if opts.TokenTTL > 0 {
		cfg.AuthTokenTTL = opts.TokenTTL
	}
	client, err := url.Parse(scheme + listen)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: %w", listen, err)
	}
	peer := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	return cfg, nil
}

// Addr returns the "host:port" clients connect to.
func (s *Server) Addr() string { return s.etcd.Clients[0].Addr().String() }

// Endpoint returns the client URL.
func (s *Server) Endpoint() string {
	cfg := s.etcd.Config()
	return cfg.ListenClientUrls[0].Scheme + "://" + s.Addr()
}

// Close stops the server, removes a temporary data directory, and is safe to
// call twice.
func (s *Server) Close() (err error) {
	s.close.Do(func() {
		if s.etcd != nil {
			s.etcd.Close()
		}
		if s.temp != "" {
			err = os.RemoveAll(s.temp)
		}
	})
	return err
}
