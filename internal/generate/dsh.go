package generate

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/sluice-lb/sluice/internal/poolfile"
	"github.com/sluice-lb/sluice/pkg/objects"
)

// Dsh returns the kind of dsh groups: OUT/CLUSTER-SERVICE, served below dsh/.
func Dsh(out string, node *objects.Type) Kind { return newPoolKind(dshLayout{}, "dsh", out, node) }

// dshLayout is one group per service of a cluster, whatever the site.
type dshLayout struct{}

func (dshLayout) names(p Pool) []string { return []string{p.Cluster + "-" + p.Service} }

func (dshLayout) shared(a, b Pool) bool { return a.Cluster == b.Cluster && a.Service == b.Service }

func (dshLayout) hosts(data []byte) int { return len(groupHosts(data)) }

// groupHosts returns the hosts of a group file.
func groupHosts(data []byte) []string {
	var hosts []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			hosts = append(hosts, line)
		}
	}
	return hosts
}

func (dshLayout) render(pools []Pool, old []byte) (data []byte, hosts int, err error) {
	var sections []poolfile.Section
	var errs []error
	before := groupHosts(old)
	for _, p := range pools {
		s := poolfile.Section{Comment: p.String()}
		for _, n := range p.Nodes {
			listed := n.value.Pooled != "inactive"
			if err := n.unfit(); err != nil {
				errs = append(errs, asItWas(n, err))
				listed = slices.Contains(before, n.Host())
			}
			if listed {
				s.Hosts = append(s.Hosts, n.Host())
			}
		}
		sections = append(sections, s)
		hosts += len(s.Hosts)
	}
	var b bytes.Buffer
	if err := poolfile.WriteGroup(&b, sections); err != nil {
		return nil, 0, errors.Join(append(errs, err)...)
	}
	return b.Bytes(), hosts, errors.Join(errs...)
}
