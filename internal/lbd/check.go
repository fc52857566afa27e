package lbd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-lb/sluice/internal/nagios"
)

// checked is the end of a check that did not find everything well: what there is
// to say has been said, and only the exit code is left.
type checked struct{ status nagios.Status }

// Error is for those who take it for an error.
func (c checked) Error() string { return fmt.Sprintf("check ended with status %d", c.status) }

// check is a check being run: everything its flags say.
type check struct {
	url        string
	timeout    seconds
	config     string
	prometheus string
}

// defaultStatus is where a balancer on this machine answers.
const defaultStatus = "http://localhost:9090"

// seconds is a time given as plugins are given it, "10", or as "1.5s".
type seconds time.Duration

// String implements pflag.Value.
func (s *seconds) String() string { return time.Duration(*s).String() }

// Type implements pflag.Value.
func (s *seconds) Type() string { return "seconds" }

// Set implements pflag.Value.
func (s *seconds) Set(text string) error {
	d, err := time.ParseDuration(text)
	if n, notNumber := strconv.ParseFloat(text, 64); notNumber == nil {
		d, err = time.Duration(n*float64(time.Second)), nil
	}
	if err != nil || d <= 0 || d > time.Hour {
		return fmt.Errorf("want a number of seconds, up to an hour")
	}
	*s = seconds(d)
	return nil
}

// checksCommand is what monitoring runs. Whatever goes wrong, the command line
// too, is said on stdout and ends with 3: to monitoring 2 would be an outage.
func checksCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "check a running balancer, as a Nagios plugin",
		Long: `Check a running balancer, as a plugin of Nagios, Icinga and their like. The exit
code is 0 (ok), 1 (warning), 2 (critical) or 3 (unknown: no judgement was
possible); the output is a line, with lines of detail behind it where there is
more to say.`,
		Example: `  lbd check alerts
  lbd check ipvs-diff --config /etc/pybal/pybal.conf
  lbd check bgp --url http://lb1:9090 --timeout 5`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cannotTell(cmd, errors.New("check what: alerts, ipvs-diff or bgp"))
			}
			return cannotTell(cmd, fmt.Errorf("no check %q: want alerts, ipvs-diff or bgp", args[0]))
		},
	}
	cmd.SetFlagErrorFunc(cannotTell)
	cmd.AddCommand(alertsCheck(), ipvsCheck(), bgpCheck())
	return cmd
}

// cannotTell says why there is no judgement.
func cannotTell(cmd *cobra.Command, err error) error { return say(cmd, nagios.CannotTell(err)) }

// say prints a result and makes the exit code of it.
func say(cmd *cobra.Command, r nagios.Result) error {
	fmt.Fprintln(cmd.OutOrStdout(), r)
	if r.Status == nagios.OK {
		return nil
	}
	return checked{r.Status}
}

// command makes a command of a check that runs within its timeout.
func (c *check) command(cmd *cobra.Command, run func(context.Context) nagios.Result) *cobra.Command {
	c.timeout = seconds(10 * time.Second)
	cmd.Flags().VarP(&c.timeout, "timeout", "t", "give up after so many seconds")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return cannotTell(cmd, fmt.Errorf("%s takes no argument: %q", cmd.Name(), args[0]))
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), time.Duration(c.timeout))
		defer cancel()
		return say(cmd, run(ctx))
	}
	return cmd
}

func alertsCheck() *cobra.Command {
	c := &check{}
	cmd := c.command(&cobra.Command{
		Use:   "alerts",
		Short: "check whether the balancer has alerts",
		Long: `Check what the balancer says at /alerts: critical while servers that are down have
to serve, warning for pools that could not lose a server. A balancer that does not
answer is critical too.`,
		Example: `  lbd check alerts
  lbd check alerts --url http://localhost:9090/alerts --timeout 5`,
	}, c.alerts)
	cmd.Flags().StringVar(&c.url, "url", defaultStatus+"/alerts", "the balancer, or the page itself")
	return cmd
}

func ipvsCheck() *cobra.Command {
	c := &check{}
	cmd := c.command(&cobra.Command{
		Use:   "ipvs-diff",
		Short: "check whether the kernel's table is what the balancer says",
		Long: `Compare the services of the configuration, and the servers the balancer says are
pooled, with the kernel's IPVS table: service by service, address by address. The
table is read from the kernel, which takes CAP_NET_ADMIN, or from a node_exporter
(--prometheus-url), which does not show services without servers. What differs is
looked at once more after a second: a change may be on its way.`,
		Example: `  lbd check ipvs-diff
  lbd check ipvs-diff --config /etc/pybal/pybal.conf --prometheus-url http://localhost:9100/metrics`,
	}, c.ipvsDiff)
	cmd.Flags().StringVar(&c.url, "url", defaultStatus, "the balancer")
	cmd.Flags().StringVarP(&c.config, "config", "c", defaultConfig, "its configuration file")
	cmd.Flags().StringVar(&c.prometheus, "prometheus-url", "", "a node_exporter's metrics, to be asked instead of the kernel")
	return cmd
}

func bgpCheck() *cobra.Command {
	c := &check{}
	cmd := c.command(&cobra.Command{
		Use:   "bgp",
		Short: "check whether all BGP sessions are established",
		Long:  "Check the BGP sessions by the balancer's metrics: every one that is configured has to be established.",
		Example: `  lbd check bgp
  lbd check bgp --url http://localhost:9090/metrics --timeout 5`,
	}, c.bgp)
	cmd.Flags().StringVar(&c.url, "url", defaultStatus+"/metrics", "the balancer, or the page itself")
	return cmd
}

// pageURL is the URL with that path, where it has none of its own.
func pageURL(base, path string) (string, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", fmt.Errorf("%q is no URL like %s", base, defaultStatus)
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = path
	}
	return u.String(), nil
}

// mostSaid is how long a page may be: the metrics of a large balancer.
const mostSaid = 32 << 20

// readAll reads a page, and refuses one that is too long.
func readAll(r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, mostSaid+1))
	if err == nil && len(body) > mostSaid {
		err = fmt.Errorf("more than %d bytes", mostSaid)
	}
	return body, err
}
