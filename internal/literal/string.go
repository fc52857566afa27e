package literal

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// stringStart tells whether a string begins here: a quote, or u or b and a
// quote.
func (p *parser) stringStart() bool {
	rest := p.text[p.pos:]
	if rest != "" && strings.IndexByte("uUbB", rest[0]) >= 0 {
		rest = rest[1:]
	}
	return rest != "" && (rest[0] == '\'' || rest[0] == '"')
}

// strings reads one or more adjacent strings, which are one value.
func (p *parser) strings() (string, error) {
	var b strings.Builder
	for p.stringStart() {
		if err := p.quoted(&b); err != nil {
			return "", err
		}
		p.blank()
	}
	if !utf8.ValidString(b.String()) {
		return "", p.errorf("string is not UTF-8 text")
	}
	return b.String(), nil
}

func (p *parser) quoted(b *strings.Builder) error {
	if p.text[p.pos] != '\'' && p.text[p.pos] != '"' {
		p.pos++
	}
	quote := p.text[p.pos]
	p.pos++
	for p.pos < len(p.text) {
		c := p.text[p.pos]
		switch {
		case c == quote:
			p.pos++
			return nil
		case c == '\n':
			return p.errorf("string does not end on its line")
		case c == '\\':
			if err := p.escape(b); err != nil {
				return err
			}
		default:
			b.WriteByte(c)
			p.pos++
		}
	}
	return p.errorf("string does not end")
}

// simpleEscapes maps the letter behind a backslash to what it stands for.
const (
	escapeLetters = `\'"abfnrtv`
	escapeValues  = "\\'\"\a\b\f\n\r\t\v"
)

// escape reads a backslash and what belongs to it. As in Python, an escape
// that means nothing stands for itself.
func (p *parser) escape(b *strings.Builder) error {
	p.pos++
	if p.pos >= len(p.text) {
		return p.errorf("string does not end")
	}
	c := p.text[p.pos]
	if i := strings.IndexByte(escapeLetters, c); i >= 0 {
		p.pos++
		b.WriteByte(escapeValues[i])
		return nil
	}
	switch c {
	case '\n':
		p.pos++
		return nil
	case 'x':
		return p.hexEscape(b, 2)
	case 'u':
		return p.hexEscape(b, 4)
	case 'U':
		return p.hexEscape(b, 8)
	}
	if '0' <= c && c <= '7' {
		return p.octalEscape(b)
	}
	b.WriteByte('\\')
	return nil
}

func (p *parser) hexEscape(b *strings.Builder, digits int) error {
	p.pos++
	if p.pos+digits > len(p.text) {
		return p.errorf("escape is too short")
	}
	n, err := strconv.ParseUint(p.text[p.pos:p.pos+digits], 16, 32)
	if err != nil || n > utf8.MaxRune || !utf8.ValidRune(rune(n)) {
		return p.errorf("escape names no character")
	}
	p.pos += digits
	b.WriteRune(rune(n))
	return nil
}

func (p *parser) octalEscape(b *strings.Builder) error {
	end := p.pos
	for end < len(p.text) && end < p.pos+3 && '0' <= p.text[end] && p.text[end] <= '7' {
		end++
	}
	n, err := strconv.ParseUint(p.text[p.pos:end], 8, 32)
	if err != nil {
		return p.errorf("escape names no character")
	}
	p.pos = end
	b.WriteRune(rune(n))
	return nil
}
