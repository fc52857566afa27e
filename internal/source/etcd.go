package source

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-lb/sluice/pkg/state"
)

// Access says how to speak to etcd, and as whom: the same for every store.
// The zero Access is plain HTTP, and as nobody.
type Access struct {
	// TLS is on also where one of the files is named.
	TLS bool
	// CA is a file of PEM certificates that servers are verified by; empty means
	// the system's.
	CA string
	// Cert and Key are files with our own certificate and its key; one file may
	// hold both. They are read anew for each connection: certificates expire.
	Cert, Key string
	// Username and PasswordFile are what to authenticate with.
	Username, PasswordFile string
}

// WithAccess says how to speak to etcd.
func WithAccess(a Access) Option { return func(o *options) { o.access = a } }

// secure tells whether to speak TLS.
func (a Access) secure() bool { return a.TLS || a.CA != "" || a.Cert != "" }

// Check tells whether the files can be read.
func (a Access) Check() error {
	_, err := a.config(nil)
	return err
}

// config is how to open the store at these endpoints.
func (a Access) config(endpoints []string) (state.Config, error) {
	cfg := state.Config{Endpoints: endpoints, Username: a.Username}
	if a.secure() {
		cfg.Endpoints = nil
		for _, e := range endpoints {
			cfg.Endpoints = append(cfg.Endpoints, "https://"+strings.TrimPrefix(e, "http://"))
		}
		roots, err := ReadRoots(a.CA)
		if err != nil {
			return cfg, fmt.Errorf("etcd-ca: %w", err)
		}
		cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	}
	if a.Cert != "" {
		pair, err := a.pair()
		if err != nil {
			return cfg, err
		}
		cfg.TLS.Certificates = []tls.Certificate{*pair}
		cfg.TLS.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return a.pair() }
	}
	if a.Username != "" {
		password, err := os.ReadFile(a.PasswordFile)
		if err == nil && len(password) == 0 {
			err = errors.New(a.PasswordFile + ": empty")
		}
		if err != nil {
			return cfg, fmt.Errorf("etcd-password-file: %w", err)
		}
		cfg.Password = strings.TrimRight(string(password), "\r\n")
	}
	return cfg, nil
}

func (a Access) pair() (*tls.Certificate, error) {
	key := a.Key
	if key == "" {
		key = a.Cert
	}
	pair, err := tls.LoadX509KeyPair(a.Cert, key)
	if err != nil {
		return nil, fmt.Errorf("etcd-cert: %w", err)
	}
	return &pair, nil
}

// door is the way to one store. It opens when somebody first goes through: with
// a user name the store has to be there for that.
type door struct {
	endpoints []string
	access    Access

	mu    sync.Mutex
	store *state.Store
	tried time.Time
	err   error // of the last try
}

// knockEvery is the time between two tries to open a store.
const knockEvery = time.Second

// open returns the store, or why there is none yet. Of many who ask at once one
// tries.
func (d *door) open() (*state.Store, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.store != nil || time.Since(d.tried) < knockEvery {
		return d.store, d.err
	}
	cfg, err := d.access.config(d.endpoints)
	if err == nil {
		d.store, err = state.Open(cfg)
	}
	d.tried, d.err = time.Now(), err
	if err != nil {
		d.store = nil
	}
	return d.store, d.err
}

// enter waits until the store is open, and tells why it is not; nil means that
// ctx has ended.
func (d *door) enter(ctx context.Context, tell func(error)) *state.Store {
	for {
		store, err := d.open()
		if err == nil {
			return store
		}
		tell(err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(knockEvery):
		}
	}
}

func (d *door) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.store == nil {
		return nil
	}
	return d.store.Close()
}

// door returns the way to the store at these endpoints.
func (s *Sources) door(endpoints []string) *door {
	name := storeName(endpoints)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.doors[name] == nil {
		s.doors[name] = &door{endpoints: slices.Clone(endpoints), access: s.access}
	}
	return s.doors[name]
}

// storeName is what a store is called by its endpoints.
func storeName(endpoints []string) string { return strings.Join(endpoints, ",") }
