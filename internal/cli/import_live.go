package cli

import (
	"context"
	"fmt"
	"net"
	"os"

	"github.com/sluice-lb/sluice/internal/etcdv2"
)

// portV2 is where conftool expects the v2 API unless told otherwise.
const portV2 = 4001

// v2Config says how to reach the v2 store: with the configuration's credentials,
// or with an etcdrc file's, which may also say where it is.
func (r *importRun) v2Config(c config, urls []string) (etcdv2.Config, error) {
	if r.etcdrc != "" {
		var rc etcdrc
		err := rc.read(r.etcdrc)
		if _, missing := os.Stat(r.etcdrc); missing != nil {
			err = missing
		}
		if err == nil && len(urls) == 0 {
			if rc.Port == 0 {
				rc.Port = portV2
			}
			urls, err = rc.endpoints(net.DefaultResolver)
		}
		if err != nil {
			return etcdv2.Config{}, withExit(exitBackend, readError("etcdrc", r.etcdrc, err))
		}
		c = config{CACert: rc.CACert, Cert: rc.Cert, Key: rc.Key, Username: rc.Username, Password: rc.Password, PasswordFile: rc.PasswordFile, Timeout: c.Timeout}
	}
	store, err := c.store()
	return etcdv2.Config{Endpoints: urls, TLS: store.TLS, Username: store.Username, Password: store.Password, Timeout: c.Timeout}, err
}

// since looks at a live source once more: what was changed there since it was
// read has not been brought in.
func (src *importSource) since(ctx context.Context) error {
	if src.live == nil {
		return nil
	}
	now, err := src.live.Read(ctx, src.prefix)
	if err != nil {
		return fmt.Errorf("whether the source has changed since: %w", err)
	}
	if now.Index == src.tree.Index && now.Cluster == src.tree.Cluster {
		return nil
	}
	was := make(map[string]etcdv2.Node, len(src.tree.Nodes))
	for _, n := range src.tree.Nodes {
		was[n.Key] = n
	}
	fresh, changed := 0, 0
	for _, n := range now.Nodes {
		before, ok := was[n.Key]
		switch {
		case !ok:
			fresh++
		case before != n:
			changed++
		}
		delete(was, n.Key)
	}
	if fresh+changed+len(was) == 0 {
		return nil
	}
	return fmt.Errorf("%s has changed since it was read (index %d, now %d): %d keys are new, %d have another value, %d are gone: import again",
		now.Server, src.tree.Index, now.Index, fresh, changed, len(was))
}
