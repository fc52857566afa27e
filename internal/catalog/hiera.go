package catalog

import (
	"fmt"
	"regexp"
	"strings"
)

// interpolated is what Hiera replaces in the texts of its files.
var interpolated = regexp.MustCompile(`%\{[^}]*\}?`)

// siteNames are the ways to write the site of the balancer.
func siteNames() []string { return []string{"%{::site}", "%{site}"} }

// checkHiera refuses a text in which Hiera would put what only Puppet knows.
func checkHiera(text string) error {
	if name := interpolated.FindString(fillIn(text, "")); name != "" {
		return fmt.Errorf("%s: nobody but Puppet knows %s; only %s is filled in", shown(text), shown(name), siteNames()[0])
	}
	return nil
}

// fillIn puts the site into a text.
func fillIn(text, site string) string {
	for _, name := range siteNames() {
		text = strings.ReplaceAll(text, name, site)
	}
	return text
}

// filledIn returns the monitors with the site put into their options.
func filledIn(monitors []Monitor, site string) []Monitor {
	var filled []Monitor
	for _, m := range monitors {
		copied := Monitor{Kind: m.Kind}
		for _, o := range m.Options {
			values := make([]string, 0, len(o.Values))
			for _, v := range o.Values {
				values = append(values, fillIn(v, site))
			}
			o.Values = values
			copied.Options = append(copied.Options, o)
		}
		filled = append(filled, copied)
	}
	return filled
}
