package lbd

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-lb/sluice/internal/lb"
	"github.com/sluice-lb/sluice/internal/literal"
	"github.com/sluice-lb/sluice/internal/problem"
)

const maxUint32 = math.MaxUint32

// section reads the options of one section. What is wrong with them goes to
// problems; the reader then returns the default, so that reading goes on.
type section struct {
	name     string
	line     int
	options  map[string]iniOption
	used     map[string]bool
	problems *problem.List
	validate Validate
}

// bad reports what is wrong with an option that is set, or with the section
// if it is not.
func (s *section) bad(option, format string, args ...any) {
	line := s.line
	if o, ok := s.options[option]; ok {
		line = o.line
	}
	s.problems.Add(line, "[%s] %s: %s", s.name, option, fmt.Sprintf(format, args...))
}

// text returns the option as written; false if it is not set.
func (s *section) text(option string) (string, bool) {
	s.used[option] = true
	o, ok := s.options[option]
	return strings.TrimSpace(o.value), ok
}

// required returns the option and complains where it is not set.
func (s *section) required(option string) (string, bool) {
	v, ok := s.text(option)
	if !ok || v == "" {
		s.bad(option, "missing")
		return "", false
	}
	return v, true
}

// choice returns the option, which must be one of those allowed.
func (s *section) choice(option, otherwise string, allowed ...string) string {
	v, ok := s.text(option)
	switch {
	case !ok:
		return otherwise
	case !slices.Contains(allowed, v):
		s.bad(option, "%q is not one of %s", v, strings.Join(allowed, ", "))
		return otherwise
	}
	return v
}

func (s *section) admin(otherwise lb.AdminDepool) lb.AdminDepool {
	switch s.choice("admin-depool", "", "guard", "honour") {
	case "guard":
		return lb.GuardDepool
	case "honour":
		return lb.HonourDepool
	}
	return otherwise
}

// boolean knows all of PyBal's words for true and false.
func (s *section) boolean(option string, otherwise bool) bool {
	v, ok := s.text(option)
	if !ok {
		return otherwise
	}
	switch strings.ToLower(v) {
	case "t", "true", "y", "yes", "on", "1":
		return true
	case "f", "false", "n", "no", "off", "0":
		return false
	}
	s.bad(option, "%q is neither yes nor no", v)
	return otherwise
}

// integer returns the option and whether it is set.
func (s *section) integer(option string, otherwise, least, most int64) (int64, bool) {
	v, ok := s.text(option)
	if !ok {
		return otherwise, false
	}
	n, err := strconv.ParseInt(v, 10, 64)
	switch {
	case err != nil:
		s.bad(option, "%q is not a whole number", v)
		return otherwise, true
	case n < least || n > most:
		s.bad(option, "%d is outside %d to %d", n, least, most)
		return otherwise, true
	}
	return n, true
}

// share returns a number from 0 to 1.
func (s *section) share(option string, otherwise float64) float64 {
	v, ok := s.text(option)
	if !ok {
		return otherwise
	}
	f, err := strconv.ParseFloat(v, 64)
	switch {
	case err != nil || math.IsNaN(f):
		s.bad(option, "%q is not a number", v)
		return otherwise
	case f < 0 || f > 1:
		s.bad(option, "%s is outside 0 to 1", v)
		return otherwise
	}
	return f
}

// addr parses one address of the option.
func (s *section) addr(option, v string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(v)
	switch {
	case err != nil:
		s.bad(option, "%q is not an IP address", v)
		return netip.Addr{}, false
	case a.Zone() != "" || a.Is4In6():
		s.bad(option, "%q: address with a zone, or IPv4 written as IPv6", v)
		return netip.Addr{}, false
	}
	return a, true
}

// address returns the option as one address, the zero Addr if it is not set.
func (s *section) address(option string) netip.Addr {
	v, ok := s.text(option)
	if !ok || v == "" {
		return netip.Addr{}
	}
	a, _ := s.addr(option, v)
	return a
}

// listenAddresses returns a list of addresses; "" in it is PyBal's word for
// every IPv4 address.
func (s *section) listenAddresses(option string, otherwise ...netip.Addr) []netip.Addr {
	if _, ok := s.text(option); !ok {
		return otherwise
	}
	var addrs []netip.Addr
	for _, v := range s.list(option) {
		if v == "" {
			addrs = append(addrs, netip.IPv4Unspecified())
		} else if a, ok := s.addr(option, v); ok {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

// list returns an option that must be a list literal; nil if it is not set.
func (s *section) list(option string) []string {
	v, ok := s.text(option)
	if !ok {
		return nil
	}
	items, err := parseList(v)
	if err != nil {
		s.bad(option, "%v", err)
	}
	return items
}

// parseList reads a list literal of plain values.
func parseList(text string) ([]string, error) { return parseListWith(text, nil) }

// parseListWith reads one in which the names may stand for values.
func parseListWith(text string, names map[string]any) ([]string, error) {
	v, err := literal.ParseWith(text, names)
	if err != nil {
		return nil, err
	}
	values, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf(`%q is not a list; write it as [ "…" ]`, text)
	}
	items := []string{}
	for _, v := range values {
		item, ok := plain(v)
		if !ok {
			return nil, errors.New("list holds something else than strings and numbers")
		}
		items = append(items, item)
	}
	return items, nil
}

// plain writes a value without parts as text.
func plain(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

// oneOrMore reads a value that may be a list literal, a quoted string, or
// plain text.
func oneOrMore(text string) ([]string, error) {
	if text == "" {
		return []string{""}, nil
	}
	switch text[0] {
	case '[':
		return parseList(text)
	case '"', '\'':
		if v, err := literal.Parse(text); err == nil {
			if item, ok := plain(v); ok {
				return []string{item}, nil
			}
		}
	}
	return []string{text}, nil
}
