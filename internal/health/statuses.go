package health

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// statuses are the HTTP statuses that pass, as ranges.
type statuses []span

type span struct{ from, to int }

func (s statuses) has(code int) bool {
	return slices.ContainsFunc(s, func(r span) bool { return r.from <= code && code <= r.to })
}

// parseStatuses reads what http_status may be: one status, which stands for
// those PyBal takes for the same, or several and ranges, which mean what they
// say: "200,204", "200-299,404".
func parseStatuses(values []string) (statuses, error) {
	if len(values) == 0 {
		return alike(http.StatusOK), nil
	}
	var s statuses
	parts := strings.Split(strings.Join(values, ","), ",")
	for _, part := range parts {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			to = from
		}
		r := span{number(from), number(to)}
		if r.from < 100 || r.to > 599 || r.from > r.to {
			return nil, fmt.Errorf("%q is neither a status from 100 to 599 nor a range of them", part)
		}
		if len(parts) == 1 && !isRange {
			return alike(r.from), nil
		}
		s = append(s, r)
	}
	return s, nil
}

// number reads digits and nothing else; what is no number is 0.
func number(text string) int {
	text = strings.TrimSpace(text)
	if strings.Trim(text, "0123456789") != "" {
		return 0
	}
	n, _ := strconv.Atoi(text)
	return n
}

// alike returns the statuses that pass for the one configured. PyBal takes
// 200 to 202 for each other, and 301 to 303, and any other one for 200; the
// last it has to itself.
func alike(code int) statuses {
	for _, r := range []span{{200, 202}, {301, 303}} {
		if r.from <= code && code <= r.to {
			return statuses{r}
		}
	}
	return statuses{{code, code}}
}
