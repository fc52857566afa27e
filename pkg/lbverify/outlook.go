package lbverify

import (
	"fmt"
	"math"
	"slices"

	"github.com/sluice-lb/sluice/pkg/lbstatus"
)

// Shift is what a change does to the servers of one pool.
type Shift struct {
	// Leaving stay listed, but are to take no more traffic: disabled, or
	// without weight.
	Leaving []string
	// Gone will not be listed any more.
	Gone []string
	// Coming are to take traffic from now on.
	Coming []string
}

// Takes tells whether the shift takes anything out of the pool.
func (s Shift) Takes() bool { return len(s.Leaving)+len(s.Gone) > 0 }

// Outlook is what a shift makes of a pool at one balancer. A server is able
// when it is enabled, up and has a weight; one whose health is not known is
// not.
type Outlook struct {
	Pool string
	// Total is how many servers are listed now, Able how many of them are.
	Total, Able int
	// TotalAfter and After are the same after the shift. A server that
	// comes counts only where the balancer knows it to be up.
	TotalAfter, After int
	// Needed is how many able servers the threshold wants then.
	Needed int
	// Breaks is true when the shift takes out a server that may be serving,
	// and fewer able ones than needed, or none, are left.
	Breaks bool
}

// Foresee works out what a shift would make of a pool, by a balancer's report.
// The rule is PyBal's: able ≥ listed × threshold.
func Foresee(r lbstatus.Report, s Shift) Outlook {
	o := Outlook{Pool: r.Pool, Total: len(r.Members), TotalAfter: len(r.Members)}
	loses := false
	for _, m := range r.Members {
		able := m.Enabled && m.Up == lbstatus.UpYes && m.Weight > 0
		stays := able
		if slices.Contains(s.Coming, m.Host) {
			stays = m.Up == lbstatus.UpYes
		}
		gone := slices.Contains(s.Gone, m.Host)
		if gone || slices.Contains(s.Leaving, m.Host) {
			stays = false
			loses = loses || (m.Enabled || m.Pooled) && m.Up != lbstatus.UpNo && m.Weight > 0
		}
		o.Able += count(able)
		o.After += count(stays)
		o.TotalAfter -= count(gone)
	}
	for _, host := range s.Coming {
		if _, listed := r.Member(host); !listed {
			o.TotalAfter++
		}
	}
	o.Needed = int(math.Ceil(float64(o.TotalAfter) * r.Threshold))
	o.Breaks = loses && (o.After == 0 || o.After < o.Needed)
	return o
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// String returns the numbers: "5 of 6 up now, 4 after, threshold 3".
func (o Outlook) String() string {
	after := fmt.Sprint(o.After)
	if o.TotalAfter != o.Total {
		after = fmt.Sprintf("%d of %d", o.After, o.TotalAfter)
	}
	return fmt.Sprintf("%d of %d up now, %s after, threshold %d", o.Able, o.Total, after, o.Needed)
}
