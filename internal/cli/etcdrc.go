package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// etcdrc is what conftool's etcd driver is told about the store, in files of
// its own. The keys are those of the python-etcd client; endpoints, key and
// password_file are ours.
type etcdrc struct {
	Host      hosts  `yaml:"host"`
	Port      int    `yaml:"port"`
	Protocol  string `yaml:"protocol"`
	SRVDomain string `yaml:"srv_domain"`
	CACert    string `yaml:"ca_cert"`
	Cert      string `yaml:"cert"`
	Key       string `yaml:"key"`
	Username  string `yaml:"username"`
	Password  string `yaml:"password"`

	PasswordFile string   `yaml:"password_file"`
	Endpoints    []string `yaml:"endpoints"`

	// What the v3 API has no use for.
	VersionPrefix     any `yaml:"version_prefix"`
	ReadTimeout       any `yaml:"read_timeout"`
	AllowRedirect     any `yaml:"allow_redirect"`
	AllowReconnect    any `yaml:"allow_reconnect"`
	UseProxies        any `yaml:"use_proxies"`
	ExpectedClusterID any `yaml:"expected_cluster_id"`
	PerHostPoolSize   any `yaml:"per_host_pool_size"`
	LockPrefix        any `yaml:"lock_prefix"`
}

// hosts is one host name or a list of them.
type hosts []string

// UnmarshalYAML reads either.
func (h *hosts) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		var one string
		err := n.Decode(&one)
		*h = hosts{one}
		return err
	}
	return n.Decode((*[]string)(h))
}

// The port of the v3 API, and how long the search for SRV records may take.
const (
	defaultPort = 2379
	srvTimeout  = 5 * time.Second
)

// etcdrcFiles are the places of etcdrc files; each overrides those before it.
func etcdrcFiles(env Env, options map[string]any) []string {
	home := env.Getenv("HOME")
	if name := env.Getenv("USER"); name != "" {
		if u, err := user.Lookup(name); err == nil {
			home = u.HomeDir
		}
	}
	last, _ := options["etcd_config_file"].(string)
	return []string{"/etc/etcd/etcdrc", filepath.Join(home, ".etcdrc"), cmp.Or(last, "/etc/conftool/etcdrc")}
}

// loadEtcdrc reads the etcdrc files there are and returns what they say, by the
// keys of config. Whatever is wrong with one of them is conftool's exit 3.
func loadEtcdrc(files []string) (map[string]any, error) {
	var rc etcdrc
	for _, file := range files {
		if err := rc.read(file); err != nil {
			return nil, withExit(exitBackend, readError("etcdrc", file, err))
		}
	}
	values := make(map[string]any)
	for key, v := range map[string]string{
		"ca_cert": rc.CACert, "cert": rc.Cert, "key": rc.Key, "username": rc.Username, "password": rc.Password, "password_file": rc.PasswordFile,
	} {
		if v != "" {
			values[key] = v
		}
	}
	endpoints, err := rc.endpoints(net.DefaultResolver)
	if err != nil {
		return nil, withExit(exitBackend, fmt.Errorf("read etcdrc: %w", err))
	}
	if len(endpoints) > 0 {
		values["endpoints"] = endpoints
	}
	return values, nil
}

// read lays a file over what is known already; one that does not exist says
// nothing.
func (rc *etcdrc) read(file string) error {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(rc); !errors.Is(err, io.EOF) { // which an empty file is
		return err
	}
	return nil
}

// endpoints returns the URLs the files name, none if they name none.
func (rc *etcdrc) endpoints(resolver *net.Resolver) ([]string, error) {
	protocol := cmp.Or(rc.Protocol, "http")
	switch {
	case protocol != "http" && protocol != "https":
		return nil, fmt.Errorf("protocol: want http or https, got %q", protocol)
	case rc.Port < 0 || rc.Port > 65535:
		return nil, fmt.Errorf("port: %d is none", rc.Port)
	case len(rc.Endpoints) > 0:
		return rc.Endpoints, nil
	case rc.SRVDomain != "":
		return lookupEndpoints(resolver, protocol, rc.SRVDomain)
	case len(rc.Host) == 0 && rc.Port == 0 && rc.Protocol == "":
		return nil, nil
	case len(rc.Host) == 0:
		rc.Host = hosts{"127.0.0.1"}
	}
	var urls []string
	for _, host := range rc.Host {
		urls = append(urls, protocol+"://"+net.JoinHostPort(host, strconv.Itoa(cmp.Or(rc.Port, defaultPort))))
	}
	return urls, nil
}

// lookupEndpoints asks the DNS for _etcd._tcp.DOMAIN. conftool goes to
// 127.0.0.1 when there is no answer; that would be another store.
func lookupEndpoints(resolver *net.Resolver, protocol, domain string) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), srvTimeout)
	defer cancel()
	_, records, err := resolver.LookupSRV(ctx, "etcd", "tcp", domain)
	if err != nil {
		return nil, fmt.Errorf("srv_domain: %w", err)
	}
	var urls []string
	for _, r := range records {
		url := protocol + "://" + net.JoinHostPort(strings.TrimSuffix(r.Target, "."), strconv.Itoa(int(r.Port)))
		if !slices.Contains(urls, url) {
			urls = append(urls, url)
		}
	}
	return urls, nil
}
