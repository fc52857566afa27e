// Package catalog reads a service catalog in the form of Wikimedia's
// service::catalog, selects what one load balancer carries, and writes the
// pybal.conf that says so. It does no I/O.
package catalog

import (
	"maps"
	"net/netip"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/sluice-lb/sluice/internal/problem"
)

// Catalog is the load-balanced services of a catalog: those that have lvs.
type Catalog struct {
	services []service // by name
}

// service is one service as the catalog declares it.
type service struct {
	name        string
	line        int
	description string
	state       string
	sites       []string
	addresses   map[string][]address // by site
	port        uint16

	// What stands under lvs.
	disabled      bool
	class         string
	cluster, pool string // the tags of its objects in conftool
	protocol      string
	scheduler     string
	flag          string // of the scheduler
	threshold     float64
	announce      *bool // nil where the catalog leaves it to the balancer
	tunnelled     []string
	monitors      []Monitor
}

// address is one virtual address of a service at a site.
type address struct {
	label string
	ip    netip.Addr
}

// Monitor is one health check of a service.
type Monitor struct {
	// Kind is PyBal's class name: "IdleConnection", "ProxyFetch".
	Kind string
	// Options are sorted by name.
	Options []Option
}

// Option is one option of a monitor.
type Option struct {
	// Name is lower case and without the monitor's.
	Name   string
	Values []string
	// List says to write a list, which every other number of values than one
	// needs.
	List bool
}

// catalogKey is the key of the catalog in a file of Hiera's.
const catalogKey = "service::catalog"

// Parse reads a catalog: a mapping of services, or such a mapping under
// service::catalog. The error joins everything that is wrong with it, each as
// "FILE: line N: service NAME: FIELD: …". Fields that say nothing of load
// balancing, and services without lvs, are passed over.
func Parse(data []byte, file string) (*Catalog, error) {
	root, err := openYAML(data, file)
	if err != nil {
		return nil, err
	}
	r := &reader{List: problem.List{File: file}, left: maxNodes}
	c := &Catalog{}
	for _, v := range r.catalog(root) {
		if s, ok := r.service(v); ok {
			c.services = append(c.services, s)
		}
	}
	slices.SortFunc(c.services, byName)
	r.clashes(c)
	if len(c.services) == 0 && r.Empty() {
		r.Add(root.Line, "not one service has lvs: is this a service catalog?")
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// catalog returns the services of a file.
func (r *reader) catalog(root *yaml.Node) []value {
	services, _ := r.mapping(value{node: r.follow(root), line: root.Line})
	i := slices.IndexFunc(services, func(v value) bool { return v.key == catalogKey })
	if i >= 0 {
		services, _ = r.mapping(services[i])
	}
	for i := range services {
		services[i].name = "service " + shown(services[i].key)
	}
	return services
}

// Sites returns the sites the services are at, sorted.
func (c *Catalog) Sites() []string {
	return c.distinct(func(s service) []string { return s.sites })
}

// Classes returns the classes of load balancers there are, sorted.
func (c *Catalog) Classes() []string {
	return c.distinct(func(s service) []string { return []string{s.class} })
}

func (c *Catalog) distinct(of func(service) []string) []string {
	all := map[string]bool{}
	for _, s := range c.services {
		for _, name := range of(s) {
			all[name] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}
