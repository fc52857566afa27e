package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/sluice-lb/sluice/pkg/objects"
)

// ruleChecker checks objects by the JSON schemas their type's rules name. Each
// file is read when it is first needed.
type ruleChecker struct {
	schemas map[string]*jsonschema.Schema
}

func newRuleChecker() *ruleChecker { return &ruleChecker{schemas: make(map[string]*jsonschema.Schema)} }

// object checks what an object would be stored as. Its error is an
// InvalidError, or says why a schema cannot be read: then nothing is known to
// be valid.
func (c *ruleChecker) object(o objects.Object, raw []byte) error {
	for _, rule := range o.Type.RulesFor(o.Key) {
		schema, err := c.schema(rule.File)
		if err != nil {
			return fmt.Errorf("%s: rule %s: read JSON schema %s: %w", o.Key, rule.Name, rule.File, err)
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		if err != nil {
			return fmt.Errorf("%s: %w", o.Key, err)
		}
		if err := schema.Validate(value); err != nil {
			return fmt.Errorf("%s: %w", o.Key, &objects.InvalidError{Reason: fmt.Sprintf("rule %s: %s", rule.Name, reason(err))})
		}
	}
	return nil
}

func (c *ruleChecker) schema(file string) (*jsonschema.Schema, error) {
	if schema, ok := c.schemas[file]; ok {
		return schema, nil
	}
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft4) // what conftool's files are written in
	schema, err := compiler.Compile(path)
	if load, ok := errors.AsType[*jsonschema.LoadURLError](err); ok {
		err = load.Err
	}
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		err = file.Err
	}
	if err != nil {
		return nil, oneLine{err}
	}
	c.schemas[file] = schema
	return schema, nil
}

// reason puts what a schema has against a value on one line: the place and what
// is wrong there, for each.
func reason(err error) string {
	invalid, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return err.Error()
	}
	printer := message.NewPrinter(language.English)
	var texts []string
	var walk func(*jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		if len(e.Causes) == 0 {
			texts = append(texts, "/"+strings.Join(e.InstanceLocation, "/")+": "+e.ErrorKind.LocalizedString(printer))
		}
		for _, cause := range e.Causes {
			walk(cause)
		}
	}
	walk(invalid)
	return strings.Join(texts, "; ")
}
