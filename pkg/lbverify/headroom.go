package lbverify

import (
	"fmt"
	"slices"

	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// Headroom asks whether a pool could lose these hosts: enough others, healthy
// and enabled, must remain to meet its depool threshold (PyBal's rule: healthy
// ≥ listed × threshold), and at least one. It returns every problem, and nil
// when none of the hosts is enabled or pooled there, for then nothing leaves.
// A server whose health is not known is not counted as healthy.
func Headroom(r lbstatus.Report, leaving []string) []string {
	healthy, unknown := 0, 0
	leaves := false
	for _, m := range r.Members {
		switch {
		case slices.Contains(leaving, m.Host):
			leaves = leaves || m.Enabled || m.Pooled
		case m.Enabled && m.Up == lbstatus.UpYes:
			healthy++
		case m.Enabled && m.Up == lbstatus.UpUnknown:
			unknown++
		}
	}
	if !leaves {
		return nil
	}
	var problems []string
	total := len(r.Members)
	if healthy == 0 {
		problems = append(problems, fmt.Sprintf("pool %s: no healthy server of %d would be left%s", r.Pool, total, uncounted(unknown)))
	}
	if float64(healthy) < float64(total)*r.Threshold {
		problems = append(problems, fmt.Sprintf("pool %s: %d healthy of %d would be left, threshold %g wants %g%s",
			r.Pool, healthy, total, r.Threshold, float64(total)*r.Threshold, uncounted(unknown)))
	}
	return problems
}

func uncounted(unknown int) string {
	if unknown == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d of unknown health not counted)", unknown)
}
