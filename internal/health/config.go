package health

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-lb/sluice/internal/lb"
)

// Validate reports what is wrong with a configured monitor: a kind that does
// not exist, an option missing or unusable. Options nobody looks at, sorted by
// name, are no error, as in PyBal: production configurations carry some.
func Validate(m lb.Monitor) (ignored []string, err error) {
	o := newOptions(m.Options)
	if _, err := o.compile(m.Kind); err != nil {
		return nil, err
	}
	return o.unasked(), nil
}

// compile turns a configured monitor into one that is ready to run.
func compile(m lb.Monitor) (monitor, error) { return newOptions(m.Options).compile(m.Kind) }

func (o *options) compile(kind string) (monitor, error) {
	ready := monitor{kind: kind}
	switch kind {
	case "IdleConnection":
		ready.check = newIdle(o)
	case "ProxyFetch":
		ready.check = newFetch(o)
	case "DNSQuery":
		ready.check = newDNS(o)
	case "UDP":
		ready.check = newUDP(o)
	case "RunCommand":
		ready.check = newCommand(o)
	case "GRPCHealth":
		ready.check = newGRPC(o)
	case "TCPConnect":
		ready.check = newConnect(o)
	default:
		return monitor{}, fmt.Errorf("monitor %q: unknown kind", kind)
	}
	ready.rise, ready.fall = o.count("rise"), o.count("fall")
	if o.err != nil {
		return monitor{}, fmt.Errorf("monitor %s: %w", kind, o.err)
	}
	return ready, nil
}

// options reads a monitor's options, and keeps the first error and what was
// asked for.
type options struct {
	values map[string][]string
	asked  map[string]bool
	err    error
}

func newOptions(values map[string][]string) *options {
	return &options{values: values, asked: make(map[string]bool)}
}

// get returns the values of an option; none if it is not set.
func (o *options) get(name string) []string {
	o.asked[name] = true
	return o.values[name]
}

// unasked are the options that are set and that nobody has asked for.
func (o *options) unasked() []string {
	var names []string
	for name := range o.values {
		if !o.asked[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (o *options) fail(name, format string, args ...any) {
	if o.err == nil {
		o.err = fmt.Errorf("option %s: %w", name, fmt.Errorf(format, args...))
	}
}

// list returns all values of an option that must have some.
func (o *options) list(name string) []string {
	values := o.get(name)
	if len(values) == 0 {
		o.fail(name, "missing")
	}
	return values
}

// plain returns the only value of an option, and whether there is one.
func (o *options) plain(name string) (string, bool) {
	switch values := o.get(name); len(values) {
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
