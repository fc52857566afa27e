package devetcd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Authority makes certificates for tests, good for an hour, in a directory.
type Authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes an authority whose own certificate is DIR/ca.pem.
func NewAuthority(dir string) (*Authority, error) {
	a := &Authority{dir: dir}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	a.key, a.cert = key, a.template("ca")
	a.cert.IsCA, a.cert.KeyUsage = true, x509.KeyUsageCertSign
	return a, a.sign("ca", a.cert, key)
}

// Issue makes a certificate for a server on loopback, and for a client, whose
// common name is the name: NAME.pem and NAME.key, and NAME-both.pem with both.
// Issued again it replaces the old one.
func (a *Authority) Issue(names ...string) error {
	for _, name := range names {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		if err := a.sign(name, a.template(name), key); err != nil {
			return fmt.Errorf("issue %s: %w", name, err)
		}
	}
	return nil
}

// File is the path of one of the files.
func (a *Authority) File(name string) string { return filepath.Join(a.dir, name) }

func (a *Authority) template(name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, DNSNames: []string{"localhost"},
	}
}

func (a *Authority) sign(name string, cert *x509.Certificate, key *ecdsa.PrivateKey) error {
	der, err := x509.CreateCertificate(rand.Reader, cert, a.cert, key.Public(), a.key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
	for file, text := range map[string][]byte{name + ".pem": public, name + ".key": private, name + "-both.pem": append(public[:len(public):len(public)], private...)} {
		if err := os.WriteFile(a.File(file), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}
