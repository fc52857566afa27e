package cli

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/sluice-lb/sluice/internal/catalog"
)

// poolURL is the URL of any pool: its {…} stand for what differs.
type poolURL string

// placeholder is what may stand in a poolURL, and what might be meant for one.
var placeholder = regexp.MustCompile(`\{[^{}]*\}|[{}]`)

// of returns the URL of a section's pool.
func (u poolURL) of(s catalog.Section) string {
	return strings.NewReplacer("{site}", s.Site, "{cluster}", s.Cluster, "{service}", s.Service, "{entry}", s.Entry).Replace(string(u))
}

// distinct refuses a URL by which two pools would be one.
func (u poolURL) distinct(sections []catalog.Section) error {
	pools := map[string]catalog.Section{}
	for _, s := range sections {
		url := u.of(s)
		if other, ok := pools[url]; ok && (other.Cluster != s.Cluster || other.Service != s.Service) {
			return fmt.Errorf("--source: %s would be the pool of both %s/%s and %s/%s: put {cluster} or {entry} into the URL",
				url, other.Cluster, other.Service, s.Cluster, s.Service)
		}
		pools[url] = s
	}
	return nil
}

// pools returns the URL of the pools: as --source says, and where it says
// nothing, of the store that confctl itself would ask.
func (g *lbdGeneration) pools() (poolURL, error) {
	if g.source == "" {
		return g.configured()
	}
	u, err := url.Parse(placeholder.ReplaceAllString(g.source, "x"))
	switch {
	case err != nil:
		return "", withExit(exitUsage, fmt.Errorf("--source: %w", err))
	case !slices.Contains([]string{"etcd", "http", "https", "file"}, u.Scheme), (u.Host == "") != (u.Scheme == "file"),
		u.User != nil, u.Fragment != "", u.RawQuery != "" && u.Scheme != "http" && u.Scheme != "https":
		return "", withExit(exitUsage, fmt.Errorf("--source: %q is no URL like etcd://HOST:PORT, http://HOST or file:///DIR", g.source))
	}
	if found := placeholder.FindAllString(g.source, -1); len(found) > 0 {
		for _, p := range found {
			if !slices.Contains([]string{"{site}", "{cluster}", "{service}", "{entry}"}, p) {
				return "", withExit(exitUsage, fmt.Errorf("--source: %s means nothing: want {site}, {cluster}, {service} or {entry}", p))
			}
		}
		return poolURL(g.source), nil
	}
	return g.completed(u)
}

// completed puts the usual path behind a URL: behind a host alone also what
// comes before the site.
func (g *lbdGeneration) completed(u *url.URL) (poolURL, error) {
	base := strings.TrimRight(g.source, "/")
	alone := strings.Trim(u.Path, "/") == ""
	switch {
	case u.RawQuery != "", alone && u.Scheme == "file":
		return "", withExit(exitUsage, fmt.Errorf("--source: nothing can be put behind %q: say where with {site}, {cluster} and {service}", g.source))
	case u.Scheme != "etcd" && alone && u.Scheme != "file":
		base += "/pybal"
	case u.Scheme == "etcd" && alone:
		config, err := loadConfig(g.env, g.root.Flags())
		if err != nil {
			return "", err
		}
		base += config.poolsKey()
	}
	if u.Scheme == "etcd" {
		return poolURL(base + "/{site}/{cluster}/{service}/"), nil
	}
	return poolURL(base + "/{site}/{service}"), nil
}

// configured returns the URL of the pools in confctl's own store.
func (g *lbdGeneration) configured() (poolURL, error) {
	config, err := loadConfig(g.env, g.root.Flags())
	if err != nil {
		return "", err
	}
	var hosts []string
	for _, endpoint := range config.Endpoints {
		u, err := url.Parse(endpoint)
		if err != nil {
			return "", err
		}
		hosts = append(hosts, u.Host)
	}
	if strings.HasPrefix(config.Endpoints[0], "https:") && g.global == "" {
		fmt.Fprintln(g.env.Stderr, "note: the store speaks TLS, which lbd has to be told in [global]: etcd-tls or etcd-ca")
	}
	return poolURL("etcd://" + strings.Join(hosts, ",") + config.poolsKey() + "/{site}/{cluster}/{service}/"), nil
}

// poolsKey is where the pools are in the store.
func (c config) poolsKey() string {
	return "/" + strings.Trim(c.Namespace, "/") + "/" + c.APIVersion + "/" + c.PoolsPath
}
