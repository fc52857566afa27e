package poolfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// json reads the JSON form. A syntax error makes the whole file unreadable:
// nobody knows what would have stood behind it.
func (p *parser) json(data []byte) {
	if !utf8.Valid(data) {
		p.problem(1, "", true, "not UTF-8 text")
		return
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	line := lines{data: data, line: 1}
	if err := p.object(dec, &line); err != nil {
		p.entries = nil
		at := dec.InputOffset()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err, at = fmt.Errorf("%w of the JSON text", ErrTruncated), int64(len(data))
		}
		p.problem(line.at(at), "", true, "%w", err)
	}
}

// object reads {"host": {…}, …} and what may stand behind it: nothing.
func (p *parser) object(dec *json.Decoder, line *lines) error {
	if t, err := dec.Token(); err != nil {
		return err
	} else if t != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		host, _ := t.(string)
		at := line.at(dec.InputOffset())
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return err
		}
		p.server(at, host, raw)
	}
	if _, err := dec.Token(); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something stands behind the JSON object")
	}
	return nil
}

// server reads what is said of one server.
func (p *parser) server(line int, host string, raw json.RawMessage) {
	if err := CheckHost(host); err != nil {
		p.problem(line, "", true, "%w", err)
		return
	}
	e := Entry{Host: host, Weight: DefaultWeight, Enabled: DefaultEnabled}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(raw, &values); err != nil || values == nil {
		p.problem(line, host, true, "not a JSON object")
		return
	}
	if v, ok := values["weight"]; ok && json.Unmarshal(v, notNull(v, &e.Weight)) != nil {
		e.Weight = DefaultWeight
		p.problem(line, host, false, "weight is no whole number: taken for %d", DefaultWeight)
	}
	if v, ok := values["enabled"]; ok && json.Unmarshal(v, notNull(v, &e.Enabled)) != nil {
		e.Enabled = DefaultEnabled
		p.problem(line, host, false, "enabled is neither true nor false: taken for true")
	}
	p.add(line, e)
}

// notNull returns the target to decode a value into; null fits none.
func notNull(v json.RawMessage, target any) any {
	if string(v) == "null" {
		return nil // what json.Unmarshal refuses
	}
	return target
}

// lines finds the line of an offset; offsets only grow.
type lines struct {
	data []byte
	pos  int64
	line int
}

func (l *lines) at(offset int64) int {
	offset = min(offset, int64(len(l.data)))
	if offset > l.pos {
		l.line += bytes.Count(l.data[l.pos:offset], []byte("\n"))
		l.pos = offset
	}
	return l.line
}

// writeJSON writes the JSON form, one server per line.
func writeJSON(w io.Writer, entries []Entry) error {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, e := range entries {
		if i > 0 {
			b.WriteByte(',')
		}
		host, err := json.Marshal(e.Host)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "\n  %s: {\"enabled\": %t, \"weight\": %d}", host, e.Enabled, e.Weight)
	}
	b.WriteString("\n}\n")
	_, err := w.Write(b.Bytes())
	return err
}
