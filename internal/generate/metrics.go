package generate

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// metric is one metric with its samples, in Prometheus' text format.
type metric struct {
	name, kind, help string
	samples          []sample
}

// sample is one value, under one label.
type sample struct {
	label, labelled string
	more            string // of the labels, as written
	value           float64
}

// metrics is the status in Prometheus' text format.
func (s *Status) metrics() []byte {
	var b bytes.Buffer
	for _, m := range s.families() {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", m.name, m.help, m.name, m.kind)
		for _, v := range m.samples {
			fmt.Fprintf(&b, "%s{%s=\"%s\"%s} %s\n", m.name, v.label, escape(v.labelled), v.more, strconv.FormatFloat(v.value, 'f', -1, 64))
		}
	}
	return b.Bytes()
}

// escape escapes a label's value.
func escape(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`).Replace(s)
}

func (s *Status) families() []metric {
	one := func(value float64, more string) []sample { return []sample{{"out", s.out, more, value}} }
	hooks := append(one(float64(s.Hooks.CheckFailures), `,hook="check"`), one(float64(s.Hooks.ReloadFailures), `,hook="reload"`)...)
	return []metric{
		{"sluice_generate_file_healthy", "gauge", "Whether the file is as the store says.",
			s.each(func(f FileStatus) float64 { return truth(f.Healthy) })},
		{"sluice_generate_file_last_error_timestamp_seconds", "gauge", "When the file was last in trouble; 0 for never.",
			s.each(func(f FileStatus) float64 { return seconds(f.LastError) })},
		{"sluice_generate_file_changes_total", "counter", "How often the file was replaced by another.",
			s.each(func(f FileStatus) float64 { return float64(f.Changes) })},
		{"sluice_generate_store_stale", "gauge", "Whether the store cannot be followed, or holds nothing to make files of.", one(truth(s.Store.Stale), "")},
		{"sluice_generate_store_contact_timestamp_seconds", "gauge", "When the store was last heard; 0 for never.", one(seconds(s.Store.Contact), "")},
		{"sluice_generate_last_success_timestamp_seconds", "gauge", "When last all files were as the store said; 0 for never.", one(seconds(s.LastSuccess), "")},
		{"sluice_generate_hook_failures_total", "counter", "How often a command failed.", hooks},
		{"sluice_generate_reload_due", "gauge", "Whether files have changed since the last reload that succeeded.", one(truth(s.Hooks.ReloadDue), "")},
	}
}

// each makes a sample for each file.
func (s *Status) each(value func(FileStatus) float64) []sample {
	samples := make([]sample, 0, len(s.Files))
	for _, f := range s.Files {
		samples = append(samples, sample{"file", f.File, "", value(f)})
	}
	return samples
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// seconds is a time since the epoch, to the millisecond.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

func (e *Engine) metricsHandler(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(e.status.Load().metrics()) // who asked is gone
}
