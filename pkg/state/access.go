package state

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/authpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// need is the right to a key, or to all keys from it up to end, that a request
// takes. With authentication on, etcd asks for every one of them and does not
// say which was missing.
type need struct {
	key, end string
	write    bool
}

func (n need) String() string {
	what := "read "
	if n.write {
		what = "write "
	}
	if n.end != "" {
		return what + n.key + "*"
	}
	return what + n.key
}

// prefix is the need to read all keys that begin with it.
func prefix(key string) need { return need{key: key, end: clientv3.GetPrefixRangeEnd(key)} }

// needs are the rights the draft's transaction takes. It compares and, when
// refused, reads every object; it writes those that change, and its record.
func (d *draft) needs() []need {
	var all []need
	for i, o := range d.outcomes {
		all = append(all, need{key: d.key(i), write: o.Changed})
		if memory := d.store.memoryKey(d.key(i)); o.Changed && len(d.memoryWrites(i)) > 0 {
			all = append(all, need{key: memory, write: true})
		} else if len(d.memoryCompares(i)) > 0 {
			all = append(all, need{key: memory})
		}
	}
	if d.changes() {
		all = append(all, need{key: d.auditKey, write: true})
	}
	return all
}

// permit completes the error of a request by the keys that were refused, where
// permissions are what it failed of.
func (s *Store) permit(ctx context.Context, err error, needs ...need) error {
	if !errors.Is(err, rpctypes.ErrPermissionDenied) {
		return s.explain(ctx, err)
	}
	who, missing := s.missing(ctx, needs)
	const most = 3
	var texts []string
	for _, n := range missing {
		texts = append(texts, n.String())
	}
	if n := len(texts); n > most {
		texts = append(texts[:most], fmt.Sprintf("%d more", n-most))
	}
	return fmt.Errorf("%w: user %s may not %s", s.explain(ctx, err), who, strings.Join(texts, ", "))
}

// missing asks the server which of the rights our user lacks. Where it does not
// tell, all of them may be missing.
func (s *Store) missing(ctx context.Context, needs []need) (user string, missing []need) {
	user = s.user()
	granted, err := s.granted(ctx, user)
	if err != nil {
		return user, needs
	}
	for _, n := range needs {
		if !n.within(granted, authpb.READ) || n.write && !n.within(granted, authpb.WRITE) {
			missing = append(missing, n)
		}
	}
	if len(missing) == 0 {
		return user, needs // granted meanwhile
	}
	return user, missing
}

// user is who the server takes us for: the configured one, or the common name
// of our certificate.
func (s *Store) user() string {
	if s.cfg.Username != "" {
		return s.cfg.Username
	}
	if s.cfg.TLS != nil && len(s.cfg.TLS.Certificates) > 0 {
		if leaf := s.cfg.TLS.Certificates[0].Leaf; leaf != nil {
			return leaf.Subject.CommonName
		}
	}
	return "(none)"
}

// granted returns what the user's roles permit. etcd tells everybody about
// themselves.
func (s *Store) granted(ctx context.Context, user string) ([]*authpb.Permission, error) {
	ctx, cancel := s.request(ctx)
	defer cancel()
	u, err := s.client.UserGet(ctx, user)
	if err != nil {
		return nil, err
	}
	var all []*authpb.Permission
	for _, name := range u.Roles {
		role, err := s.client.RoleGet(ctx, name)
		if err != nil {
			return nil, err
		}
		all = append(all, role.Perm...)
	}
	return all, nil
}

// within tells whether one of the permissions covers the need for that kind of
// access.
func (n need) within(granted []*authpb.Permission, kind authpb.Permission_Type) bool {
	for _, p := range granted {
		if p.PermType == authpb.READWRITE || p.PermType == kind {
			if n.inRange(string(p.Key), string(p.RangeEnd)) {
				return true
			}
		}
	}
	return false
}

// inRange tells whether the need lies in etcd's range: no end is one key, a zero
// byte for an end is all keys from there on.
func (n need) inRange(key, end string) bool {
	const all = "\x00"
	switch {
	case end == "":
		return n.end == "" && n.key == key
	case n.key < key:
		return false
	case end == all:
		return true
	case n.end == "":
		return n.key < end
	}
	return n.end <= end && n.end != all
}
