package lbd

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificate is what the status server shows. It is read again when its files
// change, so that a renewal takes neither a reload nor a restart.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu     sync.Mutex
	loaded *tls.Certificate
	as     [2]time.Time // when the files were written that were looked at last
}

func loadCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log}
	as, err := c.written()
	if err != nil {
		return nil, err
	}
	if err := c.load(); err != nil {
		return nil, err
	}
	c.as = as
	return c, nil
}

// get returns the certificate for a connection. One that cannot be read, such as
// one half written, is told once; the last good one goes on.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	as, err := c.written()
	if as != c.as {
		c.as = as
		if err == nil {
			err = c.load()
		}
		if err != nil {
			c.log.Error("certificate not renewed", "err", err)
		} else {
			c.log.Info("certificate renewed", "file", c.certFile)
		}
	}
	return c.loaded, nil
}

// written returns when the two files were written.
func (c *certificate) written() (as [2]time.Time, err error) {
	for i, file := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(file)
		if err != nil {
			return [2]time.Time{}, fmt.Errorf("read certificate: %w", err)
		}
		as[i] = info.ModTime()
	}
	return as, nil
}

func (c *certificate) load() error {
	loaded, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("read certificate %s: %w", c.certFile, err)
	}
	c.loaded = &loaded
	return nil
}
