package script_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// become changes what the backend answers. Requests that hang are answered in
// the new way.
func (b *backend) become(how string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.how = how
	close(b.changed)
	b.changed = make(chan struct{})
}

// ServeHTTP answers as the script says:
//
//	ok, fail   its name, or 500
//	hang       nothing, until it is told something else
//	drip       a header and the beginning of a body, no more
//	204, 301…  that status
func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	b.asked = written(r)
	how, changed := b.how, b.changed
	b.mu.Unlock()
	switch how {
	case "", "ok":
		fmt.Fprintln(w, b.name)
	case "fail":
		http.Error(w, "broken", http.StatusInternalServerError)
	case "drip":
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "drip")
		_ = http.NewResponseController(w).Flush()
		fallthrough
	case "hang":
		select {
		case <-changed:
			if how == "hang" {
				b.ServeHTTP(w, r)
			}
		case <-r.Context().Done():
		}
	default:
		if status, err := strconv.Atoi(how); err == nil {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		}
	}
}

// written is the request as its sender meant it, without what is incidental.
func written(r *http.Request) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s %s %s\nHost: %s\n", r.Method, r.RequestURI, r.Proto, r.Host)
	for _, name := range []string{"User-Agent", "Connection"} {
		if v := r.Header.Get(name); v != "" {
			fmt.Fprintf(&s, "%s: %s\n", name, v)
		}
	}
	return s.String()
}
