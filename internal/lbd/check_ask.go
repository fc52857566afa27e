package lbd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/sluice-lb/sluice/internal/nagios"
)

// ask gets one page. It follows no redirect and uses no proxy: the answer would
// be somebody else's.
func ask(ctx context.Context, base, path string) ([]byte, error) {
	u, err := pageURL(base, path)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, err
	}
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err // its text repeats method and URL
		}
		return nil, inTime(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	body, err := readAll(resp.Body)
	return body, inTime(err)
}

// inTime says in plain words that nothing came before the end of the timeout.
func inTime(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no answer in time")
	}
	return err
}

func (c *check) alerts(ctx context.Context) nagios.Result {
	body, err := ask(ctx, c.url, "/alerts")
	if err != nil {
		return nagios.NoAlerts(err.Error())
	}
	return nagios.Alerts(string(body))
}

func (c *check) bgp(ctx context.Context) nagios.Result {
	families, err := metrics(ctx, c.url)
	if err != nil {
		return nagios.CannotTell(err)
	}
	enabled := families["pybal_bgp_enabled"].GetMetric()
	if len(enabled) != 1 {
		return nagios.CannotTell(fmt.Errorf("get %s: no pybal_bgp_enabled in it", c.url))
	}
	var sessions []nagios.Session
	for _, m := range families["pybal_bgp_session_established"].GetMetric() {
		sessions = append(sessions, nagios.Session{Peer: labelOf(m, "peer"), Established: number(m) == 1})
	}
	return nagios.Sessions(number(enabled[0]) != 0, sessions)
}

// metrics gets and reads a page of metrics.
func metrics(ctx context.Context, base string) (map[string]*dto.MetricFamily, error) {
	body, err := ask(ctx, base, "/metrics")
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", base, err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("get %s: no metrics: %w", base, err)
	}
	return families, nil
}

func labelOf(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// number is the value of a metric, whether its type was told or not.
func number(m *dto.Metric) float64 {
	if m.GetGauge() != nil {
		return m.GetGauge().GetValue()
	}
	return m.GetUntyped().GetValue()
}
