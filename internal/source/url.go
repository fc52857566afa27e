package source

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Check tells whether a pool could be read from the URL, without trying it.
func Check(source string) error {
	_, _, err := parse(source)
	return err
}

// parse splits etcd://HOST[:PORT]/KEY/ into a client URL and a key prefix. The
// port defaults to 2379, as in PyBal.
func parse(source string) (endpoint, prefix string, err error) {
	u, err := url.Parse(source)
	if err != nil {
		return "", "", err
	}
	switch u.Scheme {
	case "etcd":
	case "file", "http", "https", "k8s":
		return "", "", fmt.Errorf("%s:// sources are not supported yet", u.Scheme)
	default:
		return "", "", fmt.Errorf("%q is not the URL of a source; write it as etcd://HOST:PORT/KEY/", source)
	}
	key := strings.Trim(u.Path, "/")
	port := u.Port()
	n, portErr := strconv.ParseUint(port, 10, 16)
	switch {
	case u.Hostname() == "":
		return "", "", errors.New("etcd:// names no host")
	case port != "" && (portErr != nil || n == 0):
		return "", "", fmt.Errorf("%q is not a port", port)
	case key == "":
		return "", "", errors.New("etcd:// names no key")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", "", errors.New("etcd:// takes a host, a port and a key and nothing else")
	}
	if port == "" {
		u.Host += ":2379"
	}
	return "http://" + u.Host, "/" + key + "/", nil
}
