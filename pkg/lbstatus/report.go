// Package lbstatus is the status protocol between balancers and those who ask
// them: the report, its server (Handler) and its client, in our own dialect
// under /v1/ and in PyBal's.
package lbstatus

import (
	"fmt"
	"reflect"
	"slices"
	"time"
)

// Report is what one balancer says about one pool. Served as JSON at
// /v1/pools/NAME.
type Report struct {
	// Pool is the service's name: the section in pybal.conf.
	Pool string `json:"pool"`
	// VIP is "protocol address:port" of the virtual service.
	VIP string `json:"vip"`
	// Seen is the highest store revision this balancer knows its picture of
	// the pool to be complete at. 0 means nothing has been heard yet.
	Seen int64 `json:"seen"`
	// Applied is the store revision the plane's table is in force at: every
	// write to this pool up to it has been decided upon and its consequence
	// is in the table. Applied ≤ Seen, and stays behind while the plane
	// refuses.
	Applied int64 `json:"applied"`
	// Announced is true while routers are told about the VIP.
	Announced bool `json:"announced"`
	// Threshold is the configured depool threshold.
	Threshold float64 `json:"threshold"`
	// LowWatermark is how many servers have to be fit for the VIP to be
	// announced; 0 if any number will do.
	LowWatermark int `json:"low_watermark,omitempty"`
	// Fit is how many servers are meant to serve, with a weight, and are enabled
	// and not down.
	Fit int `json:"fit"`
	// CanDepool is PyBal's predicate: one more server could be taken out.
	CanDepool bool `json:"can_depool"`
	// CouldNotDepool counts the times a server was held by the threshold.
	CouldNotDepool uint64 `json:"could_not_depool_total"`
	// Source says where the pool comes from and how fresh that is.
	Source SourceStatus `json:"source"`
	// Error is why Applied is behind or the table incomplete; empty if not.
	Error string `json:"error,omitempty"`
	// Members are all servers of the pool, sorted by host.
	Members []Member `json:"members"`
}

// SourceStatus says how fresh a balancer's knowledge of a pool is.
type SourceStatus struct {
	URL string `json:"url"`
	// Revisions says whose count Seen, Applied and the members' revisions are.
	Revisions Revisions `json:"revisions"`
	// Heard is when the source last proved that it is alive; zero if never.
	Heard time.Time `json:"heard,omitzero"`
	// Age is the time since Heard in seconds, filled in when the report is
	// served; -1 if never heard.
	Age float64 `json:"age_seconds"`
	// Stale is true once Age exceeds StaleAfter or Error is set. The pool
	// in force is then the last good one.
	Stale bool `json:"stale"`
	// Error is the source's present trouble; empty if none.
	Error string `json:"error,omitempty"`
}

// Revisions says whose count a report's revisions are.
type Revisions string

const (
	// StoreRevisions are the revisions of the store the pool is declared in:
	// whoever wrote at one can wait for it. It is also what a report that says
	// nothing means.
	StoreRevisions Revisions = "store"
	// LocalRevisions are this balancer's own count of the changes it saw in a
	// file or web page. They grow, but cannot be compared with a store's
	// revisions or another balancer's.
	LocalRevisions Revisions = "local"
)

// StaleAfter is how long a source may be silent before it counts as stale.
// Sources give a sign of life every second.
const StaleAfter = 5 * time.Second

// Up is the combined health of a server: "up", "down" or "unknown".
type Up string

// The three health states.
const (
	UpYes     Up = "up"
	UpNo      Up = "down"
	UpUnknown Up = "unknown"
)

// Member is one server in a Report.
type Member struct {
	Host string `json:"host"`
	// Address is "ip:port"; empty while the name is not resolved.
	Address string `json:"address,omitempty"`
	Weight  int    `json:"weight"`
	// Rising is the weight a server has for now that came (back) a short while
	// ago and is on its way to Weight; 0 if it is not.
	Rising int `json:"rising,omitempty"`
	// Enabled is pooled=yes.
	Enabled bool `json:"enabled"`
	Up      Up   `json:"up"`
	// Partial is true when the server is not up but some check passes.
	Partial bool `json:"partial,omitempty"`
	// Health is the reason for Up; empty when simply up.
	Health string `json:"health,omitempty"`
	// Pooled is true when the server is in the plane's table: this is the
	// applied truth, not the intention.
	Pooled bool `json:"pooled"`
	// Held is true when the server is pooled only because of the threshold.
	Held bool `json:"held,omitempty"`
	// Reason says why the server is or is not meant to be pooled.
	Reason string `json:"reason"`
	// Connections is the number of open connections through this balancer.
	Connections int `json:"connections"`
	// Revision is the store's revision of the last edit to this server.
	Revision int64 `json:"revision"`
}

// Member returns the named server of the report.
func (r Report) Member(host string) (Member, bool) {
	for _, m := range r.Members {
		if m.Host == host {
			return m, true
		}
	}
	return Member{}, false
}

// doubtful tells whether a pool of so many servers deserves an alert for its
// source. One that lists nobody may just be in the making.
func (s SourceStatus) doubtful(servers int) bool {
	return s.Stale && (servers > 0 || s.Heard.IsZero() && s.Error != "")
}

// staleness says why a stale source is.
func (s SourceStatus) staleness() string {
	switch {
	case s.Error != "":
		return s.Error
	case s.Age < 0:
		return "its source has not spoken yet"
	}
	return fmt.Sprintf("its source is silent for %d s", int(s.Age))
}

// complete has a list of members where there are none: readers tell "none" from
// "not said".
func (r Report) complete() Report {
	if r.Members == nil {
		r.Members = []Member{}
	}
	return r
}

func (r Report) summary() Summary {
	return Summary{r.Pool, r.VIP, r.Seen, r.Applied, r.Announced, r.Source.Stale}
}

// fresh returns the report with its age as of now.
func (r Report) fresh(now time.Time) Report {
	r.Source.Age = -1
	if !r.Source.Heard.IsZero() {
		r.Source.Age = now.Sub(r.Source.Heard).Seconds()
	}
	r.Source.Stale = r.Source.Error != "" || r.Source.Age < 0 || r.Source.Age > StaleAfter.Seconds()
	return r
}

// same tells whether nothing changed but the time of the last sign of life.
func (r Report) same(o Report) bool {
	if !slices.Equal(r.Members, o.Members) {
		return false
	}
	for _, x := range []*Report{&r, &o} {
		x.Members, x.Source.Heard, x.Source.Age = nil, time.Time{}, 0
	}
	return reflect.DeepEqual(r, o)
}
