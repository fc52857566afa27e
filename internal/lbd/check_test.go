package lbd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-lb/sluice/internal/nagios"
)

// A difference that is gone a second later was a change on its way.
func TestDifferencesAreLookedAtTwice(t *testing.T) {
	ok, bad, unknown := nagios.Result{Text: "ok"}, nagios.Result{Status: nagios.Critical, Text: "bad"}, nagios.Result{Status: nagios.Unknown, Text: "?"}
	late := nagios.Result{Status: nagios.Critical, Text: "still bad"}
	for _, tt := range []struct {
		found   []nagios.Result
		timeout time.Duration
		want    string
		looks   int
	}{
		{[]nagios.Result{ok, bad}, 10 * time.Second, "ok", 1},
		{[]nagios.Result{unknown, bad}, 10 * time.Second, "?", 1},
		{[]nagios.Result{bad, ok}, 10 * time.Second, "ok", 2},
		{[]nagios.Result{bad, late}, 10 * time.Second, "still bad", 2},
		{[]nagios.Result{bad, unknown}, 10 * time.Second, "?", 2},
		{[]nagios.Result{bad, ok}, 500 * time.Millisecond, "bad", 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), tt.timeout)
			defer cancel()
			looks := 0
			got := twice(ctx, func() nagios.Result { looks++; return tt.found[looks-1] })
			if got.Text != tt.want || looks != tt.looks {
				t.Errorf("%v within %v: %q after %d looks", tt.found, tt.timeout, got.Text, looks)
			}
		})
	}
}

// A second look that the timeout cuts short does not take the first one back.
func TestDifferenceStandsWhereTimeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		first := true
		got := twice(ctx, func() nagios.Result {
			if first {
				first = false
				return nagios.Result{Status: nagios.Critical, Text: "bad"}
			}
			<-ctx.Done()
			return nagios.CannotTell(ctx.Err())
		})
		if got.Text != "bad" {
			t.Errorf("%q", got.Text)
		}
	})
}

func TestCheckTimes(t *testing.T) {
	for text, want := range map[string]time.Duration{"10": 10 * time.Second, "1.5": 1500 * time.Millisecond, "250ms": 250 * time.Millisecond, "1m": time.Minute} {
		var s seconds
		if err := s.Set(text); err != nil || time.Duration(s) != want {
			t.Errorf("%q: %v, %v", text, s.String(), err)
		}
	}
	for _, text := range []string{"", "0", "-1", "NaN", "Inf", "1e300", "soon", "2h"} {
		var s seconds
		if err := s.Set(text); err == nil {
			t.Errorf("%q: %v", text, s.String())
		}
	}
}

// exporter serves a page; check runs lbd check and returns all it says behind its
// exit code.
func exporter(t *testing.T, page string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, page) }))
	t.Cleanup(server.Close)
	return server.URL
}

func runCheck(t *testing.T, args ...string) string {
	t.Helper()
	var out, stderr bytes.Buffer
	code := Main(t.Context(), Env{Args: append([]string{"check"}, args...), Stdout: &out, Stderr: &stderr, Getenv: func(string) string { return "" }})
	if stderr.Len() > 0 {
		t.Errorf("%q on stderr", stderr.String())
	}
	return fmt.Sprintf("%d %s", code, out.String())
}

// Whatever an exporter says instead of metrics, the check has no judgement.
func TestCheckOfOddMetrics(t *testing.T) {
	const row = "node_ipvs_backend_weight{local_address=\"192.0.2.1\",local_mark=\"\",local_port=\"80\",proto=\"TCP\",remote_address=\"192.0.2.2\",remote_port=\"80\"} 1\n"
	for page, want := range map[string]string{
		"":                                     "3 UNKNOWN: get URL: no node_ipvs_ metrics in it\n",
		"node_ipvs_connections_total 5\n":      "0 OK: no difference between hosts in IPVS/PyBal | services=0 destinations=0\n",
		row:                                    "2 CRITICAL: Mismatch between IPVS and PyBal | services=1 destinations=1\nServices in IPVS but unknown to PyBal: tcp 192.0.2.1:80\n",
		strings.Replace(row, "=\"80\"", "", 1): "3 UNKNOWN: get URL: no metrics: ",
		strings.Replace(row, "192.0.2.1", "localhost", 1):                         "3 UNKNOWN: get URL: local address: ParseAddr(\"localhost\"): ",
		strings.Replace(row, "remote_port=\"80\"", "remote_port=\"65536\"", 1):    "3 UNKNOWN: get URL: remote address: \"65536\" is no port\n",
		strings.Replace(row, "remote_address=\"192.0.2.2\"", "remote=\"a\"", 1):   "3 UNKNOWN: get URL: remote address: ParseAddr(\"\"): ",
		strings.Repeat("# a comment that says nothing of any use\n", mostSaid/40): "3 UNKNOWN: get URL: more than 33554432 bytes\n",
	} {
		u := exporter(t, page)
		got := strings.ReplaceAll(runCheck(t, "ipvs-diff", "--config", "/dev/null", "--prometheus-url", u), u, "URL")
		if !strings.HasPrefix(got, want) || strings.HasSuffix(want, "\n") && got != want {
			t.Errorf("%.60q: %q, want %q", page, got, want)
		}
	}
}
