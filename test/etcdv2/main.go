// Command etcdv2 is a real etcd 3.5 that serves the v2 API, which later releases
// no longer have. It is a module of its own, so that Sluice never links it; tests
// of the import build it and run it on loopback.
//
//	etcdv2 ADDR DIR [CERT KEY]
//
// It prints its URL when it is ready, and ends when its stdin does: with
// whoever has started it.
package main

import (
	"fmt"
	"io"
	"net/url"
	"os"

	"go.etcd.io/etcd/server/v3/embed"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "etcdv2:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 && len(args) != 4 {
		return fmt.Errorf("want ADDR DIR [CERT KEY], got %d arguments", len(args))
	}
	etcd, err := embed.StartEtcd(config(args))
	if err != nil {
		return err
	}
	defer etcd.Close()
	left := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(left)
	}()
	select {
	case <-etcd.Server.ReadyNotify():
	case err := <-etcd.Err():
		return err
	}
	fmt.Printf("%s://%s\n", etcd.Config().ListenClientUrls[0].Scheme, etcd.Clients[0].Addr())
	select {
	case <-left:
		return nil
	case err := <-etcd.Err():
		return err
	}
}

// config is that of a single member which elects itself at once and trades
// durability for speed.
func config(args []string) *embed.Config {
	cfg := embed.NewConfig()
	cfg.Dir = args[1]
	cfg.EnableV2 = true
	cfg.UnsafeNoFsync = true
	cfg.TickMs, cfg.ElectionMs = 10, 50
	cfg.LogLevel = "error"
	client := url.URL{Scheme: "http", Host: args[0]}
	if len(args) == 4 {
		client.Scheme = "https"
		cfg.ClientTLSInfo.CertFile, cfg.ClientTLSInfo.KeyFile = args[2], args[3]
	}
	peer := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	return cfg
}
