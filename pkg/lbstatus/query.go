package lbstatus

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// query is what may stand behind the question mark.
type query struct {
	minRevision int64
	wait        time.Duration
	pool        string
	brief       bool
	lastEvent   string
}

// parseQuery reads the parameters a path has. It refuses what it does not know:
// a misspelt min_revision would otherwise pass for an answer about that
// revision.
func parseQuery(raw string, parameters []string) (query, error) {
	var q query
	values, err := url.ParseQuery(raw)
	if err != nil {
		return q, fmt.Errorf("query: %w", err)
	}
	for name, v := range values {
		if !slices.Contains(parameters, name) {
			return q, fmt.Errorf("unknown parameter %q", name)
		}
		if len(v) > 1 {
			return q, fmt.Errorf("parameter %s: given %d times", name, len(v))
		}
		if err := q.set(name, v[0]); err != nil {
			return q, fmt.Errorf("parameter %s: %w", name, err)
		}
	}
	if values.Has("wait") && !values.Has("min_revision") {
		return q, fmt.Errorf("parameter wait: needs min_revision")
	}
	q.wait = min(q.wait, MaxWait)
	return q, nil
}

func (q *query) set(name, value string) (err error) {
	switch name {
	case "min_revision":
		q.minRevision, err = strconv.ParseInt(value, 10, 64)
		if err != nil || q.minRevision < 0 {
			return fmt.Errorf("want a revision, got %q", value)
		}
	case "wait":
		q.wait, err = time.ParseDuration(value)
		if err != nil || q.wait < 0 {
			return fmt.Errorf("want a duration such as 5s, got %q", value)
		}
	case "brief":
		q.brief, err = strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("want true or false, got %q", value)
		}
	case "pool":
		if value == "" {
			return fmt.Errorf("want the name of a pool")
		}
		q.pool = value
	case "last_event_id":
		q.lastEvent = value
	}
	return nil
}
