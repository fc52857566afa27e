package nagios

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-lb/sluice/internal/dataplane"
	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// Known is one service of a configuration.
type Known struct {
	Name string
	ID   dataplane.ServiceID
}

// Kernel is a kernel's table as somebody saw it.
type Kernel struct {
	Table dataplane.Table
	// Blind is true where services without destinations are not seen.
	Blind bool
}

// IPVSDiff compares the services of the configuration and the servers the
// balancer says are pooled, by pool, with the kernel's table: service by service
// and address by address, so that a server that is wrong in one is not made up
// for by another. A pool without a report is one the balancer does not know.
func IPVSDiff(known []Known, reports map[string]lbstatus.Report, kernel Kernel) Result {
	d := differences{lines: make(map[string][]string)}
	ours := make(map[dataplane.ServiceID]bool, len(known))
	for _, k := range known {
		ours[k.ID] = true
		report, heard := reports[k.Name]
		if service, ok := kernel.Table.Find(k.ID); ok {
			d.compare(k, report, service)
		} else if !kernel.Blind || !heard || slices.ContainsFunc(report.Members, isPooled) {
			d.add(servicesMissing, fmt.Sprintf("%s (%s)", k.Name, k.ID))
		}
	}
	destinations := 0
	for _, s := range kernel.Table {
		destinations += len(s.Destinations)
		if !ours[s.ID] {
			d.add(servicesUnknown, s.ID.String())
		}
	}
	r := d.result()
	r.Perf = []Perf{{Label: "services", Value: len(kernel.Table)}, {Label: "destinations", Value: destinations}}
	return r
}

// The lines of a mismatch, in their order.
const (
	servicesMissing = "Services known to PyBal but not to IPVS"
	servicesUnknown = "Services in IPVS but unknown to PyBal"
	hostsMissing    = "Hosts known to PyBal but not to IPVS"
	hostsUnknown    = "Hosts in IPVS but unknown to PyBal"
)

// differences are collected by line.
type differences struct {
	lines map[string][]string
}

func (d differences) add(line, what string) { d.lines[line] = append(d.lines[line], what) }

func isPooled(m lbstatus.Member) bool { return m.Pooled }

// compare compares one service. A pooled server whose name is not resolved may be
// any destination that nobody else claims.
func (d differences) compare(k Known, report lbstatus.Report, service dataplane.Service) {
	found := make(map[string]bool, len(service.Destinations))
	for _, dest := range service.Destinations {
		found[dest.Addr.String()] = true
	}
	unresolved := false
	for _, m := range report.Members {
		switch {
		case !m.Pooled:
		case m.Address == "":
			unresolved = true
		case found[m.Address]:
			delete(found, m.Address)
		default:
			d.add(hostsMissing, fmt.Sprintf("%s (%s) in %s", m.Host, m.Address, k.Name))
		}
	}
	if unresolved {
		return
	}
	for addr := range found {
		d.add(hostsUnknown, fmt.Sprintf("%s in %s", named(addr, report), k.Name))
	}
}

// named is an address with the name of the server that has it, pooled or not.
func named(addr string, report lbstatus.Report) string {
	for _, m := range report.Members {
		if m.Address == addr {
			return fmt.Sprintf("%s (%s)", m.Host, addr)
		}
	}
	return addr
}

// mostListed is how many things a line lists: monitoring cuts long output.
const mostListed = 20

func (d differences) result() Result {
	if len(d.lines) == 0 {
		return Result{Status: OK, Text: "OK: no difference between hosts in IPVS/PyBal"}
	}
	text := []string{"CRITICAL: Mismatch between IPVS and PyBal"}
	for _, line := range []string{servicesMissing, servicesUnknown, hostsMissing, hostsUnknown} {
		list := d.lines[line]
		if len(list) == 0 {
			continue
		}
		slices.Sort(list)
		more := ""
		if left := len(list) - mostListed; left > 0 {
			list, more = list[:mostListed], fmt.Sprintf(" and %d more", left)
		}
		text = append(text, line+": "+strings.Join(list, ", ")+more)
	}
	return Result{Status: Critical, Text: strings.Join(text, "\n")}
}
