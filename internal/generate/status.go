package generate

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/sluice-lb/sluice/internal/poolfile"
)

// Status is how things stand. It is never changed after it was published.
type Status struct {
	// Healthy is that every file is as the store says and the store is heard.
	Healthy bool        `json:"healthy"`
	Store   StoreStatus `json:"store"`
	// LastSuccess is when last all files were as a store said that was heard;
	// zero if never.
	LastSuccess time.Time    `json:"last_success,omitzero"`
	Hooks       HookStatus   `json:"hooks"`
	Files       []FileStatus `json:"files"`
	out         string       // what tells this program's figures from another's
}

// StoreStatus is what is known of the store.
type StoreStatus struct {
	// Stale is that the store cannot be followed, or holds nothing to make
	// files of: files are then as it last said.
	Stale bool   `json:"stale"`
	Error string `json:"error,omitempty"`
	// Contact is when it was last heard; zero if never.
	Contact time.Time `json:"contact,omitzero"`
}

// HookStatus counts how often commands failed.
type HookStatus struct {
	CheckFailures  int `json:"check_failures"`
	ReloadFailures int `json:"reload_failures"`
	// ReloadDue is that files have changed since the last reload that
	// succeeded.
	ReloadDue bool `json:"reload_due"`
}

// FileStatus is what is known of one file.
type FileStatus struct {
	File    string `json:"file"`
	Healthy bool   `json:"healthy"`
	Error   string `json:"error,omitempty"`
	// LastError is when it was last in trouble, Changed when it was last
	// replaced; zero if never.
	LastError time.Time `json:"last_error,omitzero"`
	Changed   time.Time `json:"changed,omitzero"`
	Changes   int       `json:"changes"`
}

// take notes what came of the file.
func (s *FileStatus) take(wrote bool, err error) {
	now := time.Now()
	if wrote {
		s.Changed = now
		s.Changes++
	}
	s.Healthy, s.Error = err == nil, ""
	if err != nil {
		s.Error, s.LastError = err.Error(), now
	}
}

// succeeded notes the time if all is well.
func (e *Engine) succeeded() {
	well := e.away == nil && e.barren == nil && !e.unsettled
	e.files = make([]FileStatus, 0, len(e.records))
	for _, r := range e.records {
		e.files = append(e.files, r.status)
		well = well && r.status.Healthy
	}
	slices.SortFunc(e.files, func(a, b FileStatus) int { return cmp.Compare(a.File, b.File) })
	if well {
		e.success = time.Now()
	}
}

// publish makes how things stand known to those who ask for it.
func (e *Engine) publish() *Status {
	s := &Status{LastSuccess: e.success, Hooks: e.hooks, Files: e.files, out: e.Kind.out()}
	s.Store = StoreStatus{Stale: e.contact.IsZero(), Contact: e.contact}
	if err := e.storeError(); err != nil {
		s.Store.Stale, s.Store.Error = true, err.Error()
	}
	s.Hooks.ReloadDue = e.reload
	// Before the first good pass nobody knows.
	s.Healthy = !e.success.IsZero() && !s.Store.Stale && !e.reload && !slices.ContainsFunc(s.Files, func(f FileStatus) bool { return !f.Healthy })
	e.status.Store(s)
	return s
}

// publishMetrics does so in a file, too.
func (e *Engine) publishMetrics() {
	s := e.publish()
	if e.MetricsFile == "" {
		return
	}
	_, err := poolfile.Replace(e.MetricsFile, s.metrics())
	e.tell("metrics", err)
}

// statusHandler answers with how things stand.
func (e *Engine) statusHandler(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(e.status.Load()) // who asked is gone
}
