package health

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-lb/sluice/internal/lb"
)

// Validate reports what is wrong with a configured monitor: a kind that does
// not exist, an option missing or unusable. Options that the kind does not
// know are ignored, as in PyBal: production configurations carry some.
func Validate(m lb.Monitor) error {
	_, err := compile(m)
	return err
}

// compile turns a configured monitor into one that is ready to run.
func compile(m lb.Monitor) (monitor, error) {
	o := options{values: m.Options}
	ready := monitor{kind: m.Kind}
	switch m.Kind {
	case "IdleConnection":
		ready.check = newIdle(&o)
	case "ProxyFetch":
		ready.check = newFetch(&o)
	case "DNSQuery":
		ready.check = newDNS(&o)
	case "UDP":
		ready.check = newUDP(&o)
	case "RunCommand":
		ready.check = newCommand(&o)
	case "GRPCHealth":
		ready.check = newGRPC(&o)
	case "TCPConnect":
		ready.check = newConnect(&o)
	default:
		return monitor{}, fmt.Errorf("monitor %q: unknown kind", m.Kind)
	}
	ready.rise, ready.fall = o.count("rise"), o.count("fall")
	if o.err != nil {
		return monitor{}, fmt.Errorf("monitor %s: %w", m.Kind, o.err)
	}
	return ready, nil
}

// options reads a monitor's options and keeps the first error.
type options struct {
	values map[string][]string
	err    error
}

func (o *options) fail(name, format string, args ...any) {
	if o.err == nil {
		o.err = fmt.Errorf("option %s: %w", name, fmt.Errorf(format, args...))
	}
}

// list returns all values of an option that must have some.
func (o *options) list(name string) []string {
	values := o.values[name]
	if len(values) == 0 {
		o.fail(name, "missing")
	}
	return values
}

// plain returns the only value of an option, and whether there is one.
func (o *options) plain(name string) (string, bool) {
	switch values := o.values[name]; len(values) {
	case 0:
		return "", false
	case 1:
		return strings.TrimSpace(values[0]), true
	default:
		o.fail(name, "%d values where one is wanted", len(values))
		return "", false
	}
}

// longest is the longest time an option may ask for.
const longest = 24 * time.Hour

// seconds returns an option in seconds, fractions allowed, of at least least.
func (o *options) seconds(name string, otherwise, least time.Duration) time.Duration {
	text, ok := o.plain(name)
	if !ok {
		return otherwise
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		o.fail(name, "%q is not a number of seconds", text)
		return otherwise
	}
	if !(n >= least.Seconds() && n <= longest.Seconds()) {
		o.fail(name, "%q is not between %v and %v seconds", text, least.Seconds(), longest.Seconds())
		return otherwise
	}
	return time.Duration(n * float64(time.Second))
}

// whole returns an option that is a whole number between least and most.
func (o *options) whole(name string, otherwise, least, most int) int {
	text, ok := o.plain(name)
	if !ok {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		o.fail(name, "%q is not a whole number between %d and %d", text, least, most)
		return otherwise
	}
	return n
}

// count returns how many results in a row rise or fall asks for.
func (o *options) count(name string) int { return o.whole(name, 1, 1, 1000) }

// yes returns an option that is a yes or a no, in PyBal's words for them.
func (o *options) yes(name string, otherwise bool) bool {
	text, ok := o.plain(name)
	if !ok {
		return otherwise
	}
	switch strings.ToLower(text) {
	case "t", "true", "y", "yes", "on", "1":
		return true
	case "f", "false", "n", "no", "off", "0":
		return false
	}
	o.fail(name, "%q is neither yes nor no", text)
	return otherwise
}
