package lbd

import (
	"crypto/sha256"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/sluice-lb/sluice/internal/health"
)

// configFile is the configuration file of a running balancer, with what the
// command line says over it.
type configFile struct {
	path     string
	plane    Plane         // over the file's; empty: the file's
	stateDir string        // where the file names none
	poll     time.Duration // how often watch looks unasked; confPoll if 0

	mu   sync.Mutex
	last contents // what was read last, be it good or not
}

// contents stands for all that was in a file, or for why it could not be read.
type contents struct {
	sum [sha256.Size]byte
	err string
}

// load reads the file as it is now.
func (f *configFile) load() ([]byte, contents, error) {
	data, err := os.ReadFile(f.path)
	if err != nil {
		return nil, contents{err: err.Error()}, fmt.Errorf("read configuration: %w", err)
	}
	return data, contents{sum: sha256.Sum256(data)}, nil
}

// read reads and understands the file.
func (f *configFile) read() (*Config, error) {
	data, now, err := f.load()
	f.mu.Lock()
	f.last = now
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	config, err := namedConfig(data, f.path, health.Validate)
	if err != nil {
		return nil, err
	}
	if f.plane != "" {
		config.Global.Plane = f.plane
	}
	if config.Global.StateDir == "" {
		config.Global.StateDir = f.stateDir
	}
	return config, nil
}

// changed returns what is in the file now, and whether that is something else
// than what was read last.
func (f *configFile) changed() (contents, bool) {
	_, now, _ := f.load() // why it cannot be read is part of its contents
	f.mu.Lock()
	defer f.mu.Unlock()
	return now, now != f.last
}
