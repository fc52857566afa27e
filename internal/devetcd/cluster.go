package devetcd

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"go.etcd.io/etcd/server/v3/embed"
	"golang.org/x/sync/errgroup"
)

// Cluster is an etcd cluster of several members on loopback, each of which can
// be stopped and started again. Its methods are safe for concurrent use.
type Cluster struct {
	dir string
	mu  sync.Mutex
	// members keep their addresses for life; etcd is nil while one is stopped.
	members []member
	initial string
}

type member struct {
	name         string
	client, peer url.URL
	etcd         *embed.Etcd
}

// StartCluster starts a cluster of n members in a temporary directory and waits
// until all of them answer. The caller closes it.
func StartCluster(n int) (*Cluster, error) {
	dir, err := os.MkdirTemp("", "devetcd-")
	if err != nil {
		return nil, fmt.Errorf("make etcd data directory: %w", err)
	}
	c := &Cluster{dir: dir}
	if err := c.start(n); err != nil {
		return nil, errors.Join(fmt.Errorf("start etcd cluster: %w", err), c.Close())
	}
	return c, nil
}

func (c *Cluster) start(n int) error {
	urls, err := freeURLs(2 * n)
	if err != nil {
		return err
	}
	var initial []string
	for i := range n {
		m := member{name: fmt.Sprintf("m%d", i), client: urls[2*i], peer: urls[2*i+1]}
		c.members = append(c.members, m)
		initial = append(initial, m.name+"="+m.peer.String())
	}
	c.initial = strings.Join(initial, ",")
	var group errgroup.Group // none is ready before most have started
	for i := range n {
		group.Go(func() error { return c.Restart(i) })
	}
	return group.Wait()
}

// freeURLs returns URLs of ports that were free a moment ago.
func freeURLs(n int) ([]url.URL, error) {
	var urls []url.URL
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find free port: %w", err)
		}
		defer l.Close() // all are held until the last is found
		urls = append(urls, url.URL{Scheme: "http", Host: l.Addr().String()})
	}
	return urls, nil
}

// Restart starts a member that is stopped, with the data it had, and waits until
// it answers, for which most members must be running.
func (c *Cluster) Restart(i int) error {
	c.mu.Lock()
	m := c.members[i]
	c.mu.Unlock()
	if m.etcd != nil {
		return nil
	}
	cfg := quiet(filepath.Join(c.dir, m.name))
	cfg.Name, cfg.InitialCluster = m.name, c.initial
	// Long enough that a busy machine does not vote all the time.
	cfg.TickMs, cfg.ElectionMs = 50, 500
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{m.client}, []url.URL{m.client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{m.peer}, []url.URL{m.peer}
	etcd, err := embed.StartEtcd(cfg)
	if err != nil {
		return fmt.Errorf("start member %s: %w", m.name, err)
	}
	c.mu.Lock()
	c.members[i].etcd = etcd
	c.mu.Unlock()
	if err := ready(etcd); err != nil {
		return fmt.Errorf("start member %s: %w", m.name, err)
	}
	return nil
}

// Stop ends a member the hard way: it hands over nothing and answers nobody.
func (c *Cluster) Stop(i int) {
	c.mu.Lock()
	etcd := c.members[i].etcd
	c.members[i].etcd = nil
	c.mu.Unlock()
	if etcd != nil {
		etcd.Server.HardStop()
		etcd.Close()
	}
}

// Leader returns the member that leads at present, or -1.
func (c *Cluster) Leader() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, m := range c.members {
		if m.etcd != nil && m.etcd.Server.Leader() == m.etcd.Server.MemberID() {
			return i
		}
	}
	return -1
}

// Endpoints returns the members' client URLs, whether they run or not.
func (c *Cluster) Endpoints() []string {
	var all []string
	for _, m := range c.members {
		all = append(all, m.client.String())
	}
	return all
}

// Close stops all members and removes their data.
func (c *Cluster) Close() error {
	var group errgroup.Group
	for i := range c.members {
		group.Go(func() error {
			c.Stop(i)
			return nil
		})
	}
	_ = group.Wait()
	return os.RemoveAll(c.dir)
}
