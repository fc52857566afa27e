package poolfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/sluice-lb/sluice/internal/literal"
)

// dicts reads the form with one dictionary per line. A last line that cannot
// be read and has no end means that the rest of the file is still to come.
func (p *parser) dicts(data []byte) {
	line := 0
	for len(data) > 0 {
		line++
		text, rest, ended := bytes.Cut(data, []byte("\n"))
		data = rest
		text = bytes.TrimSpace(text)
		if len(text) == 0 || text[0] == '#' {
			continue
		}
		if err := p.dict(line, string(text)); err != nil {
			if !ended {
				err = fmt.Errorf("%w: %w", ErrTruncated, err)
			}
			p.problem(line, "", true, "%w", err)
		}
	}
}

// dict reads one line. Its error is about the line as a whole; what is wrong
// with its server goes to the problems.
func (p *parser) dict(line int, text string) error {
	v, err := literal.Parse(text)
	if err != nil {
		return err
	}
	values, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("%.40q: not a dictionary", text)
	}
	host, ok := values["host"].(string)
	if !ok {
		return errors.New("no host")
	}
	if err := CheckHost(host); err != nil {
		return err
	}
	e := Entry{Host: host, Weight: DefaultWeight, Enabled: DefaultEnabled}
	for _, key := range []string{"weight", "enabled"} {
		if _, ok := values[key]; !ok {
			p.problem(line, host, true, "no %s", key)
			return nil
		}
	}
	if n, ok := values["weight"].(int64); ok {
		e.Weight = int(n)
	} else {
		p.problem(line, host, false, "weight is no whole number: taken for %d", DefaultWeight)
	}
	if b, ok := values["enabled"].(bool); ok {
		e.Enabled = b
	} else {
		p.problem(line, host, false, "enabled is neither True nor False: taken for True")
	}
	p.add(line, e)
	return nil
}

// writeDicts writes the form with one dictionary per line, as config-master
// serves it.
func writeDicts(w io.Writer, entries []Entry) error {
	var b strings.Builder
	for _, e := range entries {
		enabled := "False"
		if e.Enabled {
			enabled = "True"
		}
		fmt.Fprintf(&b, "{ 'host': %s, 'weight':%d, 'enabled': %s }\n", pythonString(e.Host), e.Weight, enabled)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// pythonString quotes a host; it has no control characters.
func pythonString(s string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for _, r := range s {
		if r == '\'' || r == '\\' {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	b.WriteByte('\'')
	return b.String()
}
