package poolfile

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Write writes the servers, sorted by host, so that equal pools make equal
// files and Parse reads back what was written. A server that Parse would not
// take is an error, and so is one that is listed twice; nothing is written
// then.
func Write(w io.Writer, entries []Entry, form Form) error {
	entries = slices.SortedFunc(slices.Values(entries), func(a, b Entry) int { return cmp.Compare(a.Host, b.Host) })
	for i, e := range entries {
		if err := e.Check(); err != nil {
			return fmt.Errorf("write server %q: %w", e.Host, err)
		}
		if i > 0 && e.Host == entries[i-1].Host {
			return fmt.Errorf("write server %q: listed twice", e.Host)
		}
	}
	if form == JSON {
		return writeJSON(w, entries)
	}
	return writeDicts(w, entries)
}

// Section is a part of a dsh group.
type Section struct {
	// Comment says where the hosts come from.
	Comment string
	Hosts   []string
}

// WriteGroup writes a dsh group: one host per line, each once, the sections in
// order and the hosts of each sorted, under a comment.
func WriteGroup(w io.Writer, sections []Section) error {
	var b strings.Builder
	seen := map[string]bool{}
	for _, s := range sections {
		fmt.Fprintf(&b, "# %s\n", strings.Join(strings.Fields(s.Comment), " "))
		for _, host := range slices.Sorted(slices.Values(s.Hosts)) {
			if err := CheckHost(host); err != nil {
				return fmt.Errorf("write group: %w", err)
			}
			if !seen[host] {
				fmt.Fprintln(&b, host)
			}
			seen[host] = true
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
