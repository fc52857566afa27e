package devetcd

import (
	"os"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

func TestServerAnswersAndKeepsItsDirectory(t *testing.T) {
	dir := t.TempDir()
	put(t, start(t, Options{Dir: dir}), "k", "v")
	s := start(t, Options{Dir: dir})
	resp, err := client(t, s).Get(t.Context(), "k")
	if err != nil || len(resp.Kvs) != 1 || string(resp.Kvs[0].Value) != "v" {
		t.Fatalf("after a restart: %v, %v", resp, err)
	}
}

func TestTemporaryDirectoryIsRemoved(t *testing.T) {
	s, err := Start(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.temp); !os.IsNotExist(err) {
		t.Errorf("stat %s = %v, want it gone", s.temp, err)
	}
}

func TestStartRefusesATakenPort(t *testing.T) {
	first := start(t, Options{})
	if s, err := Start(Options{Listen: first.Addr()}); err == nil {
		_ = s.Close()
		t.Error("second server on the same port started")
	}
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		s, err := Start(Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		_ = s.Close()
		b.StartTimer()
	}
}

func start(t *testing.T, opts Options) *Server {
	t.Helper()
	s, err := Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func client(t *testing.T, s *Server) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{
		Endpoints: []string{s.Endpoint()}, DialTimeout: 5 * time.Second, Logger: zap.NewNop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func put(t *testing.T, s *Server, key, value string) {
	t.Helper()
	if _, err := client(t, s).Put(t.Context(), key, value); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
