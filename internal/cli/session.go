package cli

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"

	"github.com/spf13/pflag"

	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
	"github.com/sluice-lb/sluice/schema"
)

// session is what a command works with once its configuration is read: an open
// store, the types there are, and who is at the keyboard.
type session struct {
	config config
	schema *objects.Schema
	store  *state.Store
	roots  *x509.CertPool // of balancers that speak HTTPS; nil is the system's
	audit  state.Audit
	warn   io.Writer // takes what does not stop a command
}

// openSession reads configuration and schema and opens the store. Program and
// env.Args go into the audit record of whatever is changed; so does reason.
// Flags must come from configFlags. The caller closes the session.
func openSession(env Env, flags *pflag.FlagSet, program, reason string) (*session, error) {
	c, err := loadConfig(env, flags)
	if err != nil {
		return nil, err
	}
	s, err := loadSchema(env, flags, c)
	if err != nil {
		return nil, err
	}
	cfg, err := c.store()
	if err != nil {
		return nil, err
	}
	roots, err := readRoots("balancer_ca", c.BalancerCA)
	if err != nil {
		return nil, err
	}
	store, err := state.Open(cfg)
	if err != nil {
		return nil, withExit(exitBackend, err)
	}
	return &session{config: c, schema: s, store: store, roots: roots, audit: auditOf(env, program, reason), warn: env.Stderr}, nil
}

func (s *session) close() error { return s.store.Close() }

// typeNamed returns one of the schema's types.
func (s *session) typeNamed(name string) (*objects.Type, error) {
	t, ok := s.schema.Type(name)
	if !ok {
		return nil, fmt.Errorf("object type %q: not in the schema", name)
	}
	return t, nil
}

// loadSchema reads the schema; only the default place may be empty, and then
// the built-in schema serves. The built-in node lives under the
// configuration's pools_path.
func loadSchema(env Env, flags *pflag.FlagSet, c config) (*objects.Schema, error) {
	file := placeOf(env, flags, "schema")
	data, err := os.ReadFile(file.path)
	if errors.Is(err, fs.ErrNotExist) && !file.explicit {
		data, file.path, err = schema.Default(), "built-in", nil
	}
	if err != nil {
		return nil, readError("schema", file.path, err)
	}
	s, err := objects.ParseSchema(data, file.path)
	if err != nil {
		return nil, fmt.Errorf("read schema %w", oneLine{err})
	}
	if node, ok := s.Type("node"); ok && node.Path == objects.Node().Path {
		node.Path = c.PoolsPath
	}
	return s, nil
}

// auditOf says who runs the command: behind sudo, the one who typed it.
func auditOf(env Env, program, reason string) state.Audit {
	name := cmp.Or(env.Getenv("SUDO_USER"), env.Getenv("USER"), env.Getenv("LOGNAME"))
	if name == "" {
		if u, err := user.Current(); err == nil {
			name = u.Username
		}
	}
	host, err := env.Hostname()
	if err != nil {
		host = "unknown"
	}
	return state.Audit{User: name, Host: host, Command: append([]string{program}, env.Args...), Reason: reason}
}
