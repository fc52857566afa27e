package objects

import (
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// InvalidError says that a value does not fit its field.
type InvalidError struct {
	Field string
	// Reason is what conftool's users know: "Key foo not in the schema",
	// "maybe not in 'yes | no | inactive'".
	Reason string
}

// Error returns the sentence scripts around conftool look for.
func (e *InvalidError) Error() string { return "The provided data is not valid: " + e.Reason }

// invalid returns an InvalidError for the field.
func (f Field) invalid(format string, args ...any) error {
	return &InvalidError{Field: f.Name, Reason: fmt.Sprintf(format, args...)}
}

// convert makes v, a JSON value, a value of the field's kind. It converts what
// conftool converts on reading (numeric strings to integers, anything to a
// string), but where conftool puts an empty list or the default in place of a
// value that does not fit, it returns an error.
func (f Field) convert(v any) (any, error) {
	switch f.Kind {
	case Int:
		n, err := toInt(v)
		if err != nil {
			return nil, f.invalid("%v", err)
		}
		return n, nil
	case String:
		return text(v), nil
	case Enum:
		if s, ok := v.(string); ok && slices.Contains(f.Enum, s) {
			return s, nil
		}
		return nil, f.invalid("%s not in '%s'", text(v), strings.Join(f.Enum, " | "))
	case Bool:
		return fits[bool](f, v, "true or false")
	case List:
		return fits[[]any](f, v, "a list")
	case Dict:
		return fits[map[string]any](f, v, "a mapping")
	case CIDRList:
		return f.networks(v)
	}
	return v, nil
}

// fits returns v if it is a T already.
func fits[T any](f Field, v any, what string) (any, error) {
	if _, ok := v.(T); !ok {
		return nil, f.invalid("%s is not %s", text(v), what)
	}
	return v, nil
}

// networks accepts a list of addresses and networks; host bits may be set.
func (f Field) networks(v any) (any, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, f.invalid("%s is not a list of networks", text(v))
	}
	for _, item := range list {
		s := text(item)
		_, err := netip.ParseAddr(s)
		if _, perr := netip.ParsePrefix(s); err != nil && perr != nil {
			return nil, f.invalid("%s is not a network", quote(s))
		}
	}
	return list, nil
}

// toInt converts as Python's int does: integers, numerals with blanks around
// and single underscores within, floats cut off, booleans as 0 and 1.
func toInt(v any) (int, error) {
	switch v := v.(type) {
	case int:
		return v, nil
	case bool:
		if v {
			return 1, nil
		}
		return 0, nil
	case string:
		return parseInt(v)
	case json.Number:
		if strings.ContainsAny(string(v), ".eE") {
			return cutFloat(v)
		}
		return parseInt(string(v))
	}
	return 0, fmt.Errorf("%s is not an integer", text(v))
}

func parseInt(s string) (int, error) {
	digits := strings.TrimSpace(s)
	if strings.HasPrefix(digits, "_") || strings.HasSuffix(digits, "_") ||
		strings.Contains(digits, "__") || strings.Contains(digits, "+_") || strings.Contains(digits, "-_") {
		return 0, fmt.Errorf("%s is not an integer", quote(s))
	}
	n, err := strconv.Atoi(strings.ReplaceAll(digits, "_", ""))
	if err != nil {
		return 0, fmt.Errorf("%s is not an integer", quote(s))
	}
	return n, nil
}

func cutFloat(number json.Number) (int, error) {
	x, err := number.Float64()
	if err != nil || math.Abs(x) >= 1<<63 {
		return 0, fmt.Errorf("%s is out of range", number)
	}
	return int(x), nil
}

// normal makes a JSON value of the shapes this package works with out of what
// a caller or a YAML reader hands in.
func normal(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, int, json.Number:
		return v, nil
	case string:
		if !utf8.ValidString(v) {
			return nil, fmt.Errorf("%q is not UTF-8", v)
		}
		return v, nil
	case int64:
		return int(v), nil
	case uint64:
		return json.Number(strconv.FormatUint(v, 10)), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("%v is not a JSON number", v)
		}
		return json.Number(floatText(v)), nil
	case []any:
		return normalList(v)
	case map[string]any:
		return normalDict(v)
	}
	return nil, fmt.Errorf("a %T is not a JSON value", v)
}

func normalList(v []any) (any, error) {
	list := make([]any, len(v))
	for i, item := range v {
		var err error
		if list[i], err = normal(item); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func normalDict(v map[string]any) (any, error) {
	dict := make(map[string]any, len(v))
	for k, item := range v {
		var err error
		if dict[k], err = normal(item); err != nil {
			return nil, err
		}
	}
	return dict, nil
}
