package workflow

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sluice-lb/sluice/pkg/lbverify"
)

// Entry is one pool of the catalog: where its objects are stored and who
// balances it.
type Entry struct {
	// Pool is the pool's name in the catalog.
	Pool string
	// Cluster and Service are the tags of the pool's objects.
	Cluster, Service string
	// LBPools are the pool's names at the balancers: POOL_PORT unless the
	// catalog names others.
	LBPools []string
	// Balancers are all that carry the pool; at least one.
	Balancers []lbverify.Balancer
}

// Catalog is conftool's local_services.yaml: the pools a machine may be in.
type Catalog struct {
	file    string
	entries map[string]Entry
}

// statusPort is where PyBal and lbd serve their status.
const statusPort = "9090"

// ParseCatalog reads a catalog:
//
//	POOL:
//	  cluster: CLUSTER
//	  service: SERVICE
//	  port: PORT
//	  servers: [HOST, HOST:PORT, "[2001:db8::1]:9090"]
//	  lb_pools: [NAME, …]    # not conftool's; default POOL_PORT
//
// A key that is unknown, stands twice or is missing is an error that names
// file and line.
func ParseCatalog(data []byte, file string) (Catalog, error) {
	c := Catalog{file: file, entries: map[string]Entry{}}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return c, nil
	} else if err != nil {
		return c, fmt.Errorf("catalog %s: %w", file, err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return c, fmt.Errorf("catalog %s: want one document", file)
	}
	root := doc.Content[0]
	if root.Tag == "!!null" {
		return c, nil
	}
	err := eachKey(root, func(name string, key, value *yaml.Node) error {
		e, err := parseEntry(name, key.Line, value)
		c.entries[name] = e
		return err
	})
	if err != nil {
		return c, fmt.Errorf("catalog %s:%w", file, err)
	}
	return c, nil
}

// Pick returns the entries of these names, in order and each once. An unknown
// name is a refusal: silently leaving it out would depool less, or, with none
// left, something else entirely.
func (c Catalog) Pick(names []string) ([]Entry, error) {
	var picked []Entry
	var unknown []string
	seen := map[string]bool{}
	for _, name := range names {
		e, ok := c.entries[name]
		switch {
		case !ok:
			unknown = append(unknown, strconv.Quote(name))
		case !seen[name]:
			picked = append(picked, e)
		}
		seen[name] = true
	}
	switch {
	case len(unknown) > 0:
		return nil, fmt.Errorf("%w: catalog %s has no pool %s", ErrRefused, c.file, strings.Join(unknown, ", "))
	case len(picked) == 0:
		return nil, fmt.Errorf("%w: no pool named", ErrRefused)
	}
	return picked, nil
}

// lineError is an error at a line; the file's name goes before it.
func lineError(line int, format string, args ...any) error {
	return fmt.Errorf("%d: %w", line, fmt.Errorf(format, args...))
}

// eachKey walks a mapping with distinct text keys.
func eachKey(n *yaml.Node, f func(name string, key, value *yaml.Node) error) error {
	if n.Kind != yaml.MappingNode {
		return lineError(n.Line, "want a mapping")
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Value == "" || key.Tag == "!!merge" {
			return lineError(key.Line, "want a name")
		}
		if first, ok := seen[key.Value]; ok {
			return lineError(key.Line, "%s stands in line %d already", key.Value, first)
		}
		seen[key.Value] = key.Line
		if value.Kind == yaml.AliasNode {
			value = value.Alias
		}
		if err := f(key.Value, key, value); err != nil {
			return err
		}
	}
	return nil
}

// parseEntry reads one pool, declared at a line.
func parseEntry(pool string, line int, n *yaml.Node) (Entry, error) {
	e := Entry{Pool: pool}
	var port int
	var servers []string
	err := eachKey(n, func(name string, key, value *yaml.Node) error {
		var into any
		switch name {
		case "cluster":
			into = &e.Cluster
		case "service":
			into = &e.Service
		case "port":
			into = &port
		case "servers":
			into = &servers
		case "lb_pools":
			into = &e.LBPools
		default:
			return lineError(key.Line, "pool %s: unknown key %s", pool, name)
		}
		if err := value.Decode(into); err != nil {
			return lineError(value.Line, "pool %s: %s: want %s", pool, name, kindName(into))
		}
		return nil
	})
	if err != nil {
		return e, err
	}
	for _, server := range servers {
		b, err := parseBalancer(server)
		if err != nil {
			return e, lineError(line, "pool %s: %w", pool, err)
		}
		e.Balancers = append(e.Balancers, b)
	}
	if e.LBPools == nil {
		e.LBPools = []string{fmt.Sprintf("%s_%d", pool, port)}
	}
	if err := e.check(port); err != nil {
		return e, lineError(line, "pool %s: %w", pool, err)
	}
	return e, nil
}

func kindName(into any) string {
	switch into.(type) {
	case *int:
		return "a number"
	case *[]string:
		return "a list of names"
	}
	return "a name"
}

func (e Entry) check(port int) error {
	switch {
	case !isTag(e.Cluster):
		return errors.New("cluster is missing or no tag")
	case !isTag(e.Service):
		return errors.New("service is missing or no tag")
	case port < 1 || port > 65535:
		return errors.New("port is missing or no port")
	case len(e.Balancers) == 0:
		return errors.New("servers is missing or empty")
	case len(e.LBPools) == 0 || slices.Contains(e.LBPools, ""):
		return errors.New("lb_pools is empty or has an empty name")
	}
	return nil
}

// isTag tells whether s can be one level of a key.
func isTag(s string) bool { return s != "" && !strings.Contains(s, "/") }

// parseBalancer reads HOST, HOST:PORT, [V6]:PORT or V6.
func parseBalancer(s string) (lbverify.Balancer, error) {
	host, port := s, statusPort
	if ip := net.ParseIP(s); ip == nil && strings.Contains(s, ":") {
		var err error
		if host, port, err = net.SplitHostPort(s); err != nil {
			return lbverify.Balancer{}, fmt.Errorf("server %q: want HOST or HOST:PORT", s)
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" || strings.ContainsAny(host, "/?#@[] ") {
		return lbverify.Balancer{}, fmt.Errorf("server %q: want HOST or HOST:PORT", s)
	}
	return lbverify.Balancer{Name: s, URL: "http://" + net.JoinHostPort(host, port)}, nil
}
