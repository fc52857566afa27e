package health

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxCA is how large a file of certificate authorities may be.
const maxCA = 4 << 20

// newTLS reads the TLS options a monitor may have: tls-verify, tls-ca, sni.
// Not verifying is PyBal's way: the name in a backend's certificate is not a
// balancer's concern. The server may choose its answer by the name, so it is
// sent. Naming authorities asks for verification.
func newTLS(o *options, name string) *tls.Config {
	ca, hasCA := o.plain("tls-ca")
	verify := o.yes("tls-verify", hasCA)
	if sni, ok := o.plain("sni"); ok {
		name = sni
	}
	config := &tls.Config{ServerName: name, InsecureSkipVerify: !verify}
	if !hasCA {
		return config
	}
	if !verify {
		o.fail("tls-ca", "of no use with tls-verify = no")
	}
	pool, err := readCA(ca)
	if err != nil {
		o.fail("tls-ca", "%w", err)
	}
	config.RootCAs = pool
	return config
}

func readCA(path string) (*x509.CertPool, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCA))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("read %s: %w", path, errors.New("no certificate in it"))
	}
	return pool, nil
}
