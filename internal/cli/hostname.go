package cli

import (
	"context"
	"net"
	"os"
	"strings"
	"time"
)

// lookupTimeout bounds the search for the machine's own full name.
const lookupTimeout = 2 * time.Second

// fqdn returns the machine's fully qualified name as `hostname -f` does: the
// host name, completed by what its own addresses resolve back to. A name that
// cannot be completed is returned short.
func fqdn() (string, error) {
	short, err := os.Hostname()
	if err != nil || strings.Contains(short, ".") {
		return short, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupHost(ctx, short)
	if err != nil {
		return short, nil
	}
	for _, addr := range addrs {
		names, err := net.DefaultResolver.LookupAddr(ctx, addr)
		if err != nil {
			continue
		}
		for _, name := range names {
			if strings.HasPrefix(name, short+".") && strings.Trim(name, ".") != short {
				return strings.TrimSuffix(name, "."), nil
			}
		}
	}
	return short, nil
}
