package cli

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/sluice-lb/sluice/pkg/state"
)

// store returns the part of the configuration the store needs, with the
// certificates and the password read from their files. What is wrong with
// those is conftool's exit 3.
func (c config) store() (state.Config, error) {
	cfg := state.Config{
		Endpoints: c.Endpoints, Namespace: c.Namespace, APIVersion: c.APIVersion, Timeout: c.Timeout, Username: c.Username,
	}
	var err error
	if cfg.TLS, err = c.tls(); err != nil {
		return cfg, withExit(exitBackend, err)
	}
	if c.Username == "" {
		return cfg, nil
	}
	if cfg.Password, err = c.password(); err != nil {
		return cfg, withExit(exitBackend, err)
	}
	return cfg, nil
}

// tls returns how to speak to the store; nil where nothing is configured. The
// server's certificate is always verified, by the system's authorities unless
// ca_cert names others.
func (c config) tls() (*tls.Config, error) {
	if c.CACert == "" && c.Cert == "" {
		return nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	var err error
	if t.RootCAs, err = readRoots("ca_cert", c.CACert); err != nil {
		return nil, err
	}
	if c.Cert != "" {
		// conftool knows one file that holds both.
		pair, err := tls.LoadX509KeyPair(c.Cert, cmp.Or(c.Key, c.Cert))
		if err != nil {
			return nil, readError("cert", c.Cert, err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// readRoots reads the certificates that a key of the configuration names; nil
// where it names none.
func readRoots(key, file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, readError(key, file, err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read %s %s: no certificate in it", key, file)
	}
	return roots, nil
}

// password returns the user's password: an etcdrc may hold it, config.yaml only
// names a file.
func (c config) password() (string, error) {
	if c.PasswordFile == "" {
		if c.Password == "" {
			return "", fmt.Errorf("username %s: no password given (password_file)", c.Username)
		}
		return c.Password, nil
	}
	data, err := os.ReadFile(c.PasswordFile)
	if err != nil {
		return "", readError("password_file", c.PasswordFile, err)
	}
	password := strings.TrimRight(string(data), "\r\n")
	if password == "" {
		return "", readError("password_file", c.PasswordFile, errors.New("empty"))
	}
	return password, nil
}
