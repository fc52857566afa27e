package source

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sluice-lb/sluice/internal/lb"
	"github.com/sluice-lb/sluice/internal/poolfile"
)

const (
	// keepAfter is how long a changed pool waits to be written down, so that a
	// burst of changes is one write.
	keepAfter = time.Second
	// recallAfter is how long a silent source is waited for before the pool
	// that was kept is taken. One in trouble is not waited for.
	recallAfter = 2 * time.Second
)

// memory is the last good pool as it outlives the program: a file below the
// state directory.
type memory struct {
	kept     *lb.Pool  // from before the start; nil if there is none or it has been used
	heard    time.Time // when it was
	recalled bool      // the present pool is the kept one
	dirty    chan struct{}
}

// note asks for the present pool to be written down.
func (m *memory) note() {
	select {
	case m.dirty <- struct{}{}:
	default:
	}
}

// forget notes that the source itself has spoken.
func (m *memory) forget() { m.kept, m.recalled = nil, false }

// keptPool is the form of the file. Servers is PyBal's JSON form of a pool with
// two more keys per server, which other readers pass over.
type keptPool struct {
	Service  string                `json:"service"`
	Source   string                `json:"source"`
	Revision int64                 `json:"revision"`
	Heard    time.Time             `json:"heard"`
	Servers  map[string]keptServer `json:"servers"`
}

type keptServer struct {
	Enabled  bool       `json:"enabled"`
	Weight   int        `json:"weight"`
	Address  netip.Addr `json:"address,omitzero"`
	Revision int64      `json:"revision"`
}

// keptName is the file a service's pool is kept in, below the state directory.
func keptName(service string) string {
	return filepath.Join("pools", url.PathEscape(service)+".json")
}

// remember reads what was kept of the service before, whose addresses stand in
// where DNS is silent. What cannot be read is logged and forgotten.
func (f *follower) remember(dir string) {
	if dir == "" {
		return
	}
	k, err := readKept(dir, f.svc)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		f.log.Warn("kept pool is of no use", "dir", dir, "err", err)
	default:
		f.memory.kept, f.memory.heard = k.pool(), k.Heard
		f.names.recall(k.addresses())
	}
}

func readKept(dir string, svc lb.Service) (*keptPool, error) {
	d, err := poolfile.OpenDir(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	data, err := d.Read(keptName(svc.Name))
	if err != nil {
		return nil, err
	}
	var k keptPool
	if err := json.Unmarshal(data, &k); err != nil {
		return nil, fmt.Errorf("read %s: %w", keptName(svc.Name), err)
	}
	return &k, k.check(svc)
}

// check tells what keeps a kept pool from being the service's.
func (k *keptPool) check(svc lb.Service) error {
	switch {
	case k.Service != svc.Name:
		return fmt.Errorf("it is of service %q", k.Service)
	case k.Source != svc.Source:
		return fmt.Errorf("it came from %s", k.Source)
	case k.Revision <= 0 || k.Servers == nil:
		return errors.New("no revision or no servers")
	}
	for host, s := range k.Servers {
		if host == "" || s.Weight < 0 || strings.Contains(host, "/") {
			return fmt.Errorf("server %q: not a server", host)
		}
	}
	return nil
}

// pool is the kept pool in the balancer's words, addresses left out.
func (k *keptPool) pool() *lb.Pool {
	pool := &lb.Pool{Service: k.Service, Revision: k.Revision}
	for host, s := range k.Servers {
		pool.Backends = append(pool.Backends, lb.Backend{Host: host, Weight: s.Weight, Enabled: s.Enabled, Revision: s.Revision})
	}
	slices.SortFunc(pool.Backends, func(a, b lb.Backend) int { return strings.Compare(a.Host, b.Host) })
	return pool
}

func (k *keptPool) addresses() map[string]netip.Addr {
	addresses := map[string]netip.Addr{}
	for host, s := range k.Servers {
		addresses[host] = s.Address
	}
	return addresses
}

// recall makes of trouble before any pool the pool that was kept, stale as it
// is: its revision is the one it was kept at.
func (f *follower) recall(h *lb.Heard) {
	if f.memory.kept == nil {
		return
	}
	f.pool, f.at = f.memory.kept, f.memory.heard
	f.memory.kept, f.memory.recalled = nil, true
	f.names.fill(f.pool.Backends)
	h.Pool, h.Revision, h.At = f.pool, f.pool.Revision, f.at
	h.Err += fmt.Sprintf("; using the pool kept at %s", f.at.UTC().Format(time.RFC3339))
}

// recallLate takes the kept pool when the source has said nothing at all.
func (f *follower) recallLate(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(recallAfter):
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pool == nil && f.memory.kept != nil {
		f.say(lb.Heard{Service: f.svc.Name, Err: fmt.Sprintf("source silent for %s", recallAfter)})
	}
}

// keep writes the pool down after changes until ctx ends, and once more then.
// Trouble with that is logged, when it begins and when it ends.
func (f *follower) keep(ctx context.Context, dir string) {
	if dir == "" {
		return
	}
	trouble := ""
	for running := true; running; {
		select {
		case <-ctx.Done():
			running = false
			select {
			case <-f.memory.dirty:
			default:
				return
			}
		case <-f.memory.dirty:
			select {
			case <-ctx.Done():
			case <-time.After(keepAfter):
			}
		}
		now := ""
		if err := f.writeDown(dir); err != nil {
			now = err.Error()
		}
		if now != trouble && now != "" {
			f.log.Warn("cannot keep the pool", "dir", dir, "err", now)
		}
		trouble = now
	}
}

// writeDown replaces the file by the present pool.
func (f *follower) writeDown(dir string) error {
	f.mu.Lock()
	pool, at := f.pool, f.at
	f.mu.Unlock()
	if pool == nil {
		return nil
	}
	k := keptPool{Service: f.svc.Name, Source: f.svc.Source, Revision: pool.Revision, Heard: at.UTC(), Servers: map[string]keptServer{}}
	for _, b := range pool.Backends {
		k.Servers[b.Host] = keptServer{Enabled: b.Enabled, Weight: b.Weight, Address: b.Addr, Revision: b.Revision}
	}
	var data bytes.Buffer
	enc := json.NewEncoder(&data)
	enc.SetIndent("", "  ")
	if err := enc.Encode(k); err != nil {
		return fmt.Errorf("encode pool: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	d, err := poolfile.OpenDir(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	_, err = d.Replace(keptName(f.svc.Name), data.Bytes())
	return err
}
