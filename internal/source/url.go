package source

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Check tells whether a pool could be read from the URL, without trying it.
func Check(source string) error {
	var err error
	switch scheme(source) {
	case "etcd":
		_, _, err = parseEtcd(source)
	case "file":
		_, err = parseFile(source)
	case "http", "https":
		_, err = parseWeb(source)
	case "k8s":
		return errors.New("k8s:// sources are not supported yet")
	default:
		return fmt.Errorf("%q is not the URL of a source; write it as etcd://HOST:PORT/KEY/, file:///PATH or http://HOST/PATH", source)
	}
	return err
}

// Local tells whether the source's revisions are its own and not those of a
// store: it then says nothing about writes to a store.
func Local(source string) bool { return scheme(source) != "etcd" }

func scheme(source string) string {
	scheme, _, _ := strings.Cut(source, "://")
	return strings.ToLower(scheme)
}

// parseEtcd splits etcd://HOST[:PORT][,HOST[:PORT]…]/KEY/ into the client URLs
// of one store's servers and a key prefix. The port defaults to 2379, as in
// PyBal.
func parseEtcd(source string) (endpoints []string, prefix string, err error) {
	servers, rest, _ := strings.Cut(source[len(scheme(source))+len("://"):], "/")
	for _, server := range strings.Split(servers, ",") {
		u, err := parseHost(scheme(source)+"://"+server+"/"+rest, "etcd")
		if err != nil {
			return nil, "", err
		}
		prefix = strings.Trim(u.Path, "/")
		switch {
		case prefix == "":
			return nil, "", errors.New("etcd:// names no key")
		case u.RawQuery != "":
			return nil, "", errors.New("etcd:// takes hosts, their ports and a key and nothing else")
		}
		if u.Port() == "" {
			u.Host += ":2379"
		}
		if slices.Contains(endpoints, "http://"+u.Host) {
			return nil, "", fmt.Errorf("etcd:// names %s twice", u.Host)
		}
		endpoints = append(endpoints, "http://"+u.Host)
	}
	return endpoints, "/" + prefix + "/", nil
}

// parseWeb returns the URL to get a pool file from.
func parseWeb(source string) (*url.URL, error) { return parseHost(source, "http", "https") }

// parseFile returns the path behind file://, which is taken as it is written.
func parseFile(source string) (string, error) {
	path := source[len("file://"):]
	if !filepath.IsAbs(path) || strings.HasSuffix(path, "/") {
		return "", fmt.Errorf("file:// wants the absolute path of a file, as in file:///etc/pybal/pool: got %q", path)
	}
	return filepath.Clean(path), nil
}

// parseHost reads a URL of one of these schemes that names a host, maybe a
// port, and neither a user nor a fragment.
func parseHost(source string, schemes ...string) (*url.URL, error) {
	u, err := url.Parse(source)
	if err != nil {
		return nil, err
	}
	port := u.Port()
	n, portErr := strconv.ParseUint(port, 10, 16)
	switch is := scheme(source); {
	case u.Scheme != schemes[0] && u.Scheme != schemes[len(schemes)-1]:
		return nil, fmt.Errorf("%q is no URL of %s://", source, schemes[0])
	case u.Hostname() == "":
		return nil, fmt.Errorf("%s:// names no host", is)
	case port != "" && (portErr != nil || n == 0):
		return nil, fmt.Errorf("%q is not a port", port)
	case u.User != nil || u.Fragment != "":
		return nil, fmt.Errorf("%s:// takes a host, a port and a key and nothing else", is)
	}
	return u, nil
}
