// Package literal reads Python literals, the notation PyBal's configuration
// and pool files put lists and dictionaries in. It builds values and never
// evaluates anything.
package literal

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxDepth bounds how deep lists and dictionaries may nest.
const MaxDepth = 32

// ErrSyntax is what every error of Parse wraps.
var ErrSyntax = errors.New("not a Python literal")

// Parse reads one literal, with blanks and # comments around it: a string
// (either quote, prefixes u and b, adjacent strings joined) as string, an
// integer as int64, a number with a point or exponent as float64, True and
// False as bool, None as nil, a list as []any and a dictionary, whose keys
// must be strings, as map[string]any; the last of equal keys wins.
func Parse(text string) (any, error) { return ParseWith(text, nil) }

// ParseWith reads a literal in which the given names may stand for values, as
// in PyBal's "[ '-H', server.ip ]": each is its value.
func ParseWith(text string, names map[string]any) (any, error) {
	p := parser{text: text, names: names}
	v, err := p.value(0)
	if err == nil {
		p.blank()
		if p.pos < len(p.text) {
			err = p.unexpected()
		}
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// parser is a position in the text.
type parser struct {
	text  string
	pos   int
	names map[string]any
}

func (p *parser) errorf(format string, args ...any) error {
	at := utf8.RuneCountInString(p.text[:p.pos]) + 1
	return fmt.Errorf("%w: character %d: %s", ErrSyntax, at, fmt.Sprintf(format, args...))
}

func (p *parser) unexpected() error {
	if p.pos >= len(p.text) {
		return p.errorf("unexpected end")
	}
	r, _ := utf8.DecodeRuneInString(p.text[p.pos:])
	return p.errorf("unexpected %q", r)
}

// blank skips blanks and comments.
func (p *parser) blank() {
	for p.pos < len(p.text) {
		switch p.text[p.pos] {
		case ' ', '\t', '\r', '\n', '\f':
			p.pos++
		case '#':
			end := strings.IndexByte(p.text[p.pos:], '\n')
			if end < 0 {
				end = len(p.text) - p.pos
			}
			p.pos += end
		default:
			return
		}
	}
}

// peek returns the next byte that is no blank, or 0 at the end.
func (p *parser) peek() byte {
	p.blank()
	if p.pos >= len(p.text) {
		return 0
	}
	return p.text[p.pos]
}

// accept moves past c if it comes next.
func (p *parser) accept(c byte) bool {
	if p.peek() != c || p.pos >= len(p.text) {
		return false
	}
	p.pos++
	return true
}

func (p *parser) value(depth int) (any, error) {
	if depth > MaxDepth {
		return nil, p.errorf("nested more than %d deep", MaxDepth)
	}
	switch c := p.peek(); {
	case c == '[':
		return p.list(depth)
	case c == '{':
		return p.dict(depth)
	case p.stringStart():
		return p.strings()
	case isLetter(c):
		return p.constant()
	case c == '+' || c == '-' || c == '.' || isDigit(c):
		return p.number()
	}
	return nil, p.unexpected()
}

func (p *parser) list(depth int) (any, error) {
	p.accept('[')
	items := []any{}
	for !p.accept(']') {
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		items = append(items, v)
		if !p.accept(',') && p.peek() != ']' {
			return nil, p.unexpected()
		}
	}
	return items, nil
}

func (p *parser) dict(depth int) (any, error) {
	p.accept('{')
	items := map[string]any{}
	for !p.accept('}') {
		if p.peek(); !p.stringStart() {
			return nil, p.errorf("dictionary key is not a string")
		}
		key, err := p.strings()
		if err != nil {
			return nil, err
		}
		if !p.accept(':') {
			return nil, p.unexpected()
		}
		if items[key], err = p.value(depth + 1); err != nil {
			return nil, err
		}
		if !p.accept(',') && p.peek() != '}' {
			return nil, p.unexpected()
		}
	}
	return items, nil
}

func (p *parser) constant() (any, error) {
	start := p.pos
	word := p.word(func(c byte) bool {
		return isLetter(c) || isDigit(c) || c == '_' || c == '.' && p.names != nil
	})
	if v, ok := p.names[word]; ok {
		return v, nil
	}
	switch word {
	case "True":
		return true, nil
	case "False":
		return false, nil
	case "None":
		return nil, nil
	}
	p.pos = start
	return nil, p.errorf("%s is a name, not a value", word)
}

func (p *parser) number() (any, error) {
	start := p.pos
	word := p.word(func(c byte) bool {
		return isLetter(c) || isDigit(c) || c == '+' || c == '-' || c == '.' || c == '_'
	})
	digits := strings.TrimLeft(word, "+-")
	switch {
	case len(word)-len(digits) > 1, strings.Contains(digits, "_"):
	case strings.HasPrefix(digits, "0x") || strings.HasPrefix(digits, "0o"):
		if n, err := strconv.ParseInt(word, 0, 64); err == nil {
			return n, nil
		}
	case strings.Trim(digits, "0123456789") == "":
		// Python 2 reads 010 as eight, Python 3 refuses it.
		if n, err := strconv.ParseInt(word, 10, 64); err == nil && (n == 0 || digits[0] != '0') {
			return n, nil
		}
	case strings.Trim(digits, "0123456789.eE+-") == "":
		if f, err := strconv.ParseFloat(word, 64); err == nil {
			return f, nil
		}
	}
	p.pos = start
	return nil, p.errorf("%s is not a number", word)
}

// word moves past the bytes for which in is true and returns them.
func (p *parser) word(in func(byte) bool) string {
	start := p.pos
	for p.pos < len(p.text) && in(p.text[p.pos]) {
		p.pos++
	}
	return p.text[start:p.pos]
}

func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
