package objects

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// The texts of this file are those Python's json.dumps, repr and str make:
// scripts compare conftool's output and stored values byte by byte.

// Encode returns the JSON of any value as Python's json.dumps prints it: one
// line, ", " and ": " between, everything outside printable ASCII escaped.
// Mappings are sorted by key.
func Encode(v any) ([]byte, error) {
	switch v := v.(type) {
	case int:
		return strconv.AppendInt(nil, int64(v), 10), nil
	case string:
		if isPlain(v) {
			return append(append([]byte{'"'}, v...), '"'), nil
		}
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return respace(nil, buf.Bytes()), nil
}

// isPlain tells whether a string is its own JSON, quotes aside.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// respace appends valid JSON to dst in the form of json.dumps: one line, ", "
// and ": " between, everything outside printable ASCII escaped.
func respace(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		switch c := raw[i]; c {
		case ' ', '\t', '\n', '\r':
			i++
		case ',', ':':
			dst = append(dst, c, ' ')
			i++
		case '{', '}', '[', ']':
			dst = append(dst, c)
			i++
		case '"':
			n := stringLen(raw[i:])
			dst = appendString(dst, raw[i+1:i+n-1])
			i += n
		default:
			n := bytes.IndexAny(raw[i:], " \t\n\r,:[]{}")
			if n < 0 {
				n = len(raw) - i
			}
			dst = appendScalar(dst, string(raw[i:i+n]))
			i += n
		}
	}
	return dst
}

// stringLen returns the length of the JSON string raw starts with, with both
// its quotes.
func stringLen(raw []byte) int {
	for i := 1; i < len(raw); i++ {
		switch raw[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(raw)
}

// appendString appends the inside of a JSON string. Escaped code units are
// taken one by one, so that half a surrogate pair survives as in Python.
func appendString(dst, raw []byte) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(raw); {
		switch {
		case raw[i] == '\\' && raw[i+1] == 'u':
			unit, _ := strconv.ParseUint(string(raw[i+2:i+6]), 16, 16)
			dst = appendUnit(dst, uint16(unit))
			i += 6
		case raw[i] == '\\' && raw[i+1] == '/':
			dst = append(dst, '/')
			i += 2
		case raw[i] == '\\':
			dst = append(dst, raw[i], raw[i+1])
			i += 2
		default:
			r, n := utf8.DecodeRune(raw[i:])
			for _, unit := range utf16.AppendRune(nil, r) {
				dst = appendUnit(dst, unit)
			}
			i += n
		}
	}
	return append(dst, '"')
}

func appendUnit(dst []byte, unit uint16) []byte {
	if unit == '"' || unit == '\\' {
		return append(dst, '\\', byte(unit))
	}
	if unit >= ' ' && unit <= '~' {
		return append(dst, byte(unit))
	}
	const controls, letters = "\b\f\n\r\t", "bfnrt"
	if i := strings.IndexRune(controls, rune(unit)); i >= 0 && unit < ' ' {
		return append(dst, '\\', letters[i])
	}
	return fmt.Appendf(dst, `\u%04x`, unit)
}

// appendScalar appends a number or one of true, false and null.
func appendScalar(dst []byte, s string) []byte {
	if s == "-0" {
		return append(dst, '0')
	}
	if strings.ContainsAny(s, ".E") || strings.Contains(s, "e") && s[0] < 'a' {
		if x, err := strconv.ParseFloat(s, 64); err == nil {
			return append(dst, floatText(x)...)
		}
	}
	return append(dst, s...)
}

// floatText is Python's repr of a finite float: the shortest text that reads
// back the same, with an exponent below 1e-4 and from 1e16 on.
func floatText(x float64) string {
	s := strconv.FormatFloat(x, 'e', -1, 64)
	mantissa, exp, _ := strings.Cut(s, "e")
	if e, _ := strconv.Atoi(exp); e < -4 || e >= 16 {
		return mantissa + "e" + exp
	}
	s = strconv.FormatFloat(x, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// text is Python's str of a JSON value.
func text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return repr(v)
}

// repr is Python's repr of a JSON value, with mappings sorted by key.
func repr(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case string:
		return quote(v)
	case json.Number:
		return string(appendScalar(nil, string(v)))
	case []any:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = repr(item)
		}
		return "[" + strings.Join(items, ", ") + "]"
	case map[string]any:
		var items []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			items = append(items, quote(k)+": "+repr(v[k]))
		}
		return "{" + strings.Join(items, ", ") + "}"
	}
	return fmt.Sprint(v)
}

// quote is Python's repr of a string.
func quote(s string) string {
	mark := '\''
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		mark = '"'
	}
	var b strings.Builder
	b.WriteRune(mark)
	for _, r := range s {
		b.WriteString(quoteRune(r, mark))
	}
	b.WriteRune(mark)
	return b.String()
}

func quoteRune(r, mark rune) string {
	switch {
	case r == mark || r == '\\':
		return `\` + string(r)
	case r == '\n':
		return `\n`
	case r == '\r':
		return `\r`
	case r == '\t':
		return `\t`
	case unicode.IsPrint(r):
		return string(r)
	case r < 0x100:
		return fmt.Sprintf(`\x%02x`, r)
	case r < 0x10000:
		return fmt.Sprintf(`\u%04x`, r)
	}
	return fmt.Sprintf(`\U%08x`, r)
}
