package lbd

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// pair is a certificate and its key in files.
type pair struct {
	cert, key string
	roots     *x509.CertPool
	stamp     time.Time
}

func newPair(t *testing.T, serial int64) *pair {
	t.Helper()
	dir := t.TempDir()
	p := &pair{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"), roots: x509.NewCertPool(), stamp: time.Now()}
	p.renew(t, serial)
	return p
}

// renew writes another certificate for 127.0.0.1 that signs itself.
func (p *pair) renew(t *testing.T, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	p.roots.AppendCertsFromPEM(text)
	p.write(t, p.cert, text)
	p.write(t, p.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

// write writes a file at a time of its own, however coarse the file system's
// clock is.
func (p *pair) write(t *testing.T, file string, text []byte) {
	t.Helper()
	p.stamp = p.stamp.Add(time.Second)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, p.stamp, p.stamp); err != nil {
		t.Fatal(err)
	}
}

// serving runs a status server on loopback until the test ends and returns its
// address.
func serving(t *testing.T, handler http.Handler, secure *tls.Config) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- serveUntil(ctx, newServer(handler, secure, slog.New(slog.DiscardHandler)), listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return listener.Addr().String()
}

// statusRoutes is everything lbd serves about a board.
func statusRoutes(board *lbstatus.Board) http.Handler {
	return routes(board, "lb1.example", newRegistry(board, "dev"))
}

// serial asks for something on a connection of its own and returns the serial
// number of the certificate that was shown.
func (p *pair) serial(t *testing.T, addr string) int64 {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: p.roots})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func TestServesHTTPS(t *testing.T) {
	p := newPair(t, 1)
	var log bytes.Buffer
	cert, err := loadCertificate(p.cert, p.key, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	board := lbstatus.NewBoard("web_80")
	addr := serving(t, statusRoutes(board), &tls.Config{GetCertificate: cert.get})

	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.roots}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get("https://" + addr + "/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	await := func(want string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), want) {
				return
			}
		}
		t.Fatalf("stream over %s ended before %s: %v", resp.Proto, want, lines.Err())
	}
	await(`"seen":0`)
	board.Publish(lbstatus.Report{Pool: "web_80", Seen: 7})
	await(`"seen":7`)
	if resp.Proto != "HTTP/2.0" {
		t.Errorf("spoke %s", resp.Proto)
	}

	plain, err := http.Get("http://" + addr + "/pools")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Body.Close()
	if text, _ := io.ReadAll(plain.Body); plain.StatusCode != http.StatusBadRequest {
		t.Errorf("plain HTTP got %d %s", plain.StatusCode, text)
	}
}

// TestCertificateIsRenewed without a restart; one that is broken changes
// nothing.
func TestCertificateIsRenewed(t *testing.T) {
	p := newPair(t, 1)
	var log bytes.Buffer
	cert, err := loadCertificate(p.cert, p.key, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	addr := serving(t, http.NotFoundHandler(), &tls.Config{GetCertificate: cert.get})
	expect := func(serial int64, said string) {
		t.Helper()
		for range 3 {
			if got := p.serial(t, addr); got != serial {
				t.Errorf("shown certificate %d, want %d", got, serial)
			}
		}
		if strings.Count(log.String(), "\n") != strings.Count(said, "\n") || !strings.Contains(log.String(), strings.TrimSpace(said)) {
			t.Errorf("logged %q, want %q", log.String(), said)
		}
		log.Reset()
	}
	expect(1, "")
	p.renew(t, 2)
	expect(2, "certificate renewed\n")
	p.write(t, p.key, []byte("half"))
	expect(2, "certificate not renewed\n")
	if err := os.Remove(p.cert); err != nil {
		t.Fatal(err)
	}
	expect(2, "no such file\n")
	p.renew(t, 3)
	expect(3, "certificate renewed\n")
}

func TestLoadCertificateErrors(t *testing.T) {
	p := newPair(t, 1)
	for _, c := range []struct{ cert, key, want string }{
		{"/nowhere", p.key, "read certificate: stat /nowhere: no such file or directory"},
		{p.cert, p.cert, "read certificate " + p.cert + ": tls: "},
	} {
		if _, err := loadCertificate(c.cert, c.key, nil); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}
