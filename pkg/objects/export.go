package objects

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// exportFormat names the form of an Export; another number is another form.
const (
	exportName   = "sluice-export/"
	exportFormat = exportName + "1"
)

// Export is what a store holds at one revision, as `confctl export` writes it:
// docs/migrate.md has its form.
type Export struct {
	Namespace, APIVersion string
	Revision              int64
	Time                  time.Time
	// Objects are those of each type, by the type's name.
	Objects map[string][]Exported
}

// Exported is one object: its key below the type's path and what is stored.
type Exported struct {
	Key string
	Raw []byte
}

// Encode returns the document: a head, then one line for each object, sorted.
// Values stand in it byte for byte. Keys must be UTF-8.
func (e Export) Encode() ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\n  \"format\": %s,\n  \"namespace\": %s,\n  \"api_version\": %s,\n  \"revision\": %d,\n  \"time\": %s,\n  \"objects\": {",
		quoted(exportFormat), quoted(e.Namespace), quoted(e.APIVersion), e.Revision, quoted(e.Time.UTC().Format(time.RFC3339)))
	for i, name := range slices.Sorted(maps.Keys(e.Objects)) {
		list := slices.SortedFunc(slices.Values(e.Objects[name]), func(a, b Exported) int { return strings.Compare(a.Key, b.Key) })
		fmt.Fprintf(&b, "%s\n    %s: [", separator(i), quoted(name))
		for j, o := range list {
			if !utf8.ValidString(o.Key) {
				return nil, fmt.Errorf("%s %q: the key is not UTF-8", name, o.Key)
			}
			fmt.Fprintf(&b, "%s\n      {\"key\": %s, %s}", separator(j), quoted(o.Key), o.value())
		}
		if len(list) > 0 {
			b.WriteString("\n    ")
		}
		b.WriteByte(']')
	}
	b.WriteString("\n  }\n}\n")
	return b.Bytes(), nil
}

// separator stands before all but the first of a list.
func separator(i int) string {
	if i == 0 {
		return ""
	}
	return ","
}

// quoted is a string as JSON, kept readable.
func quoted(s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // cannot fail
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// value is the member with what is stored: JSON as it is, anything else encoded.
func (o Exported) value() []byte {
	if json.Valid(o.Raw) && utf8.Valid(o.Raw) && len(bytes.Trim(o.Raw, blanks)) == len(o.Raw) {
		return append([]byte(`"value": `), o.Raw...)
	}
	encoded, _ := json.Marshal(o.Raw) // base64 cannot fail
	return append([]byte(`"base64": `), encoded...)
}

// IsExport tells whether a JSON text calls itself an export, of whatever
// version.
func IsExport(data []byte) bool {
	dec := json.NewDecoder(bytes.NewReader(data))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return false
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return false
		}
		var format string
		if name == "format" {
			return dec.Decode(&format) == nil && strings.HasPrefix(format, exportName)
		}
		if dec.Decode(new(json.RawMessage)) != nil {
			return false
		}
	}
	return false
}

// ParseExport reads what Encode has written. Whatever it does not understand is
// an error.
func ParseExport(data []byte) (Export, error) {
	var head struct {
		Format     string          `json:"format"`
		Namespace  string          `json:"namespace"`
		APIVersion string          `json:"api_version"`
		Revision   int64           `json:"revision"`
		Time       time.Time       `json:"time"`
		Objects    json.RawMessage `json:"objects"`
	}
	if !utf8.Valid(data) {
		return Export{}, errors.New("not UTF-8")
	}
	if err := strictly(data, &head); err != nil {
		return Export{}, err
	}
	if head.Format != exportFormat {
		return Export{}, fmt.Errorf("format %q: want %q", head.Format, exportFormat)
	}
	e := Export{Namespace: head.Namespace, APIVersion: head.APIVersion, Revision: head.Revision, Time: head.Time}
	var err error
	e.Objects, err = parseExported(head.Objects)
	return e, err
}

// strictly decodes one JSON value that has no members of other names.
func strictly(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the document")
	}
	return nil
}

// parseExported reads the lists of objects. A type or a key that stands twice is
// an error: one of the two would be lost.
func parseExported(data []byte) (map[string][]Exported, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil, errors.New("objects: want a mapping of types")
	}
	all := make(map[string][]Exported)
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, _ := tok.(string)
		if _, twice := all[name]; twice {
			return nil, fmt.Errorf("type %s: is there twice", name)
		}
		var list json.RawMessage
		if err := dec.Decode(&list); err != nil {
			return nil, err
		}
		if all[name], err = parseList(list); err != nil {
			return nil, fmt.Errorf("type %s: %w", name, err)
		}
	}
	return all, nil
}

func parseList(data []byte) ([]Exported, error) {
	var items []struct {
		Key    string          `json:"key"`
		Value  json.RawMessage `json:"value"`
		Base64 *[]byte         `json:"base64"`
	}
	if err := strictly(data, &items); err != nil {
		return nil, err
	}
	list, seen := make([]Exported, 0, len(items)), make(map[string]bool, len(items))
	for _, it := range items {
		o := Exported{Key: it.Key, Raw: it.Value}
		switch {
		case it.Key == "":
			return nil, errors.New("an object has no key")
		case seen[it.Key]:
			return nil, fmt.Errorf("key %q is there twice", it.Key)
		case (it.Value == nil) == (it.Base64 == nil):
			return nil, fmt.Errorf("key %q: want either value or base64", it.Key)
		case it.Base64 != nil:
			o.Raw = *it.Base64
		}
		seen[it.Key] = true
		list = append(list, o)
	}
	return list, nil
}
