package workflow

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-lb/sluice/pkg/lbverify"
	"github.com/sluice-lb/sluice/pkg/state"
)

// Membership finds pools by who has registered for them, where there is no
// catalog.
type Membership struct {
	Members []state.Member
	// DC is the datacenter whose pools are meant.
	DC string
	// Without names balancers that are left out.
	Without []string
}

// Pick returns the entries of these names, each the name of a pool at some
// balancer ("web_443") or "dc/cluster/service". Whatever the name, every pool
// of every balancer that takes its servers from the same place is among them.
// An unknown name is a refusal, as in a catalog. A balancer that gives no sign
// of life could not confirm anything: it is ErrUnconfirmed, before anything is
// written.
func (m Membership) Pick(names []string) ([]Entry, error) {
	var picked []Entry
	var unknown []string
	for _, name := range names {
		sources := m.sources(name)
		if len(sources) == 0 {
			unknown = append(unknown, strconv.Quote(name))
		}
		for _, source := range sources {
			entries, err := m.entries(source)
			if err != nil {
				return nil, err
			}
			for _, e := range entries {
				if !slices.ContainsFunc(picked, func(o Entry) bool { return o.Pool == e.Pool && o.Cluster == e.Cluster && o.Service == e.Service }) {
					picked = append(picked, e)
				}
			}
		}
	}
	switch {
	case len(unknown) > 0:
		return nil, fmt.Errorf("%w: no balancer has registered in dc=%s for pool %s", ErrRefused, m.DC, strings.Join(unknown, ", "))
	case len(picked) == 0:
		return nil, fmt.Errorf("%w: no pool named", ErrRefused)
	}
	return picked, nil
}

// sources returns where a pool's servers are declared.
func (m Membership) sources(name string) []string {
	var found []string
	for _, member := range m.Members {
		for _, p := range member.Pools {
			dc, cluster, service := sourceTags(p.Source)
			named := p.Pool == name || name == dc+"/"+cluster+"/"+service
			if named && dc == m.DC && !slices.Contains(found, p.Source) {
				found = append(found, p.Source)
			}
		}
	}
	return found
}

// entries are the pools that take their servers from a source.
func (m Membership) entries(source string) ([]Entry, error) {
	_, cluster, service := sourceTags(source)
	var entries []Entry
	for _, member := range m.Members {
		for _, p := range member.Pools {
			if p.Source != source || slices.Contains(m.Without, member.Name) {
				continue
			}
			if !member.Alive || len(member.Status) == 0 {
				return nil, fmt.Errorf("%w: balancer %s serves %s and gives no sign of life; nothing was written (--without-lb %s leaves it out)",
					ErrUnconfirmed, member.Name, p.Pool, member.Name)
			}
			i := slices.IndexFunc(entries, func(e Entry) bool { return e.Pool == p.Pool })
			if i < 0 {
				i = len(entries)
				entries = append(entries, Entry{Pool: p.Pool, Cluster: cluster, Service: service, LBPools: []string{p.Pool}})
			}
			b := lbverify.Balancer{Name: member.Name, URL: member.Status[0]}
			if !slices.Contains(entries[i].Balancers, b) {
				entries[i].Balancers = append(entries[i].Balancers, b)
			}
		}
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("%w: every balancer of %s is left out; nothing was written", ErrUnconfirmed, source)
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Pool, b.Pool) })
	return entries, nil
}

// sourceTags returns the tags a source's key prefix ends with.
func sourceTags(source string) (dc, cluster, service string) {
	parts := strings.Split(strings.Trim(source, "/"), "/")
	if len(parts) < 3 {
		return "", "", ""
	}
	last := parts[len(parts)-3:]
	return last[0], last[1], last[2]
}
