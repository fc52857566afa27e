package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/schema"
)

func (c *confctl) schemaCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Check a schema.yaml, or show the one built in",
		Long: "Check a schema.yaml, or show the one built in. It says which types of objects there are, which tags name them and\n" +
			"what they hold; docs/schema.md describes it.",
		Example: "  confctl schema check\n  confctl schema default",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command %q: want check or default", args[0])
			}
			return errors.New("no command given: check or default")
		},
		RunE: func(*cobra.Command, []string) error { return nil }, // Args has refused
	}
	check := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Say everything that is wrong with a schema.yaml",
		Long: "Say everything that is wrong with a schema.yaml, the JSON schemas it names included, and list its types. Without FILE\n" +
			"the one in use is checked. No store is needed.\n\n" +
			"Exit codes: 0 nothing is wrong; 1 something is.",
		Example: "  confctl schema check /etc/conftool/schema.yaml\n  confctl schema check -o json",
		Args:    atMost(1),
		RunE:    func(_ *cobra.Command, args []string) error { return c.checkSchema(args) },
	}
	c.outputFlag(check.Flags())
	cmd.AddCommand(check, &cobra.Command{
		Use:     "default",
		Short:   "Print the schema that is built in",
		Long:    "Print the schema that is built in: what holds where there is no schema.yaml, and what to begin one with.",
		Example: "  confctl schema default",
		Args:    exactly(),
		RunE: func(*cobra.Command, []string) error {
			_, err := c.env.Stdout.Write(schema.Default())
			return err
		},
	})
	return cmd
}

// typeRow is one type as listed.
type typeRow struct {
	Name   string   `json:"name"`
	Path   string   `json:"path"`
	Tags   []string `json:"tags"`
	Fields []string `json:"fields"`
	Rules  []string `json:"rules"`
}

func (c *confctl) checkSchema(args []string) error {
	data, file, err := c.schemaFile(args)
	if err != nil {
		return err
	}
	s, problems, notes := objects.CheckSchema(data, file)
	checker := newRuleChecker()
	list := table{head: []string{"TYPE", "PATH", "TAGS", "FIELDS", "RULES"}}
	for _, t := range s.Types() {
		problems = append(problems, checker.files(file, t)...)
		if note := checker.defaults(file, t); note != nil {
			notes = append(notes, note)
		}
		row := rowOf(t)
		list.add(row, cell{text: row.Name}, cell{text: row.Path}, cell{text: strings.Join(row.Tags, " ")},
			cell{text: strings.Join(row.Fields, " ")}, cell{text: strings.Join(row.Rules, " ")})
	}
	for _, note := range notes {
		fmt.Fprintf(c.env.Stderr, "note: %v\n", oneLine{note})
	}
	for _, problem := range problems {
		fmt.Fprintf(c.env.Stderr, "confctl: %v\n", oneLine{problem})
	}
	if len(problems) > 0 {
		return withExit(exitFailure, nil)
	}
	return list.print(c.env, c.output)
}

// schemaFile reads the file to check: the one given, or the one in use.
func (c *confctl) schemaFile(args []string) (data []byte, file string, err error) {
	place := placeOf(c.env, c.root.Flags(), "schema")
	if len(args) > 0 {
		place.path, place.explicit = args[0], true
	}
	data, err = os.ReadFile(place.path)
	if errors.Is(err, fs.ErrNotExist) && !place.explicit {
		return schema.Default(), "built-in", nil
	}
	if err != nil {
		return nil, "", readError("schema", place.path, err)
	}
	return data, place.path, nil
}

func rowOf(t *objects.Type) typeRow {
	row := typeRow{Name: t.Name, Path: t.Path, Tags: append([]string{}, t.Tags...), Fields: []string{}, Rules: []string{}}
	for _, f := range t.Fields {
		row.Fields = append(row.Fields, f.Name+":"+string(f.Kind))
	}
	for _, r := range t.Rules {
		row.Rules = append(row.Rules, r.Name+":"+r.File)
	}
	return row
}

// files reads the JSON schemas of all rules of a type.
func (c *ruleChecker) files(file string, t *objects.Type) (problems []error) {
	for _, rule := range t.Rules {
		if _, err := c.schema(rule.File); err != nil {
			problems = append(problems, fmt.Errorf("%s: type %s: rule %s: read JSON schema %s: %w", file, t.Name, rule.Name, rule.File, err))
		}
	}
	return problems
}

// defaults tells whether an object of just the type's defaults, as sync makes
// it, breaks a rule that holds for every object. That may be meant: such an
// object has to be edited before it is of use.
func (c *ruleChecker) defaults(file string, t *objects.Type) error {
	raw, err := t.Defaults(nil)
	if err != nil {
		return fmt.Errorf("%s: type %s: defaults: %w", file, t.Name, err)
	}
	anyone := objects.Key{Name: "any"}
	if n := len(t.Tags); n > 0 {
		anyone.Tags = strings.Repeat("/any", n)[1:]
	}
	err = c.object(objects.Object{Type: t, Key: anyone}, raw)
	if invalid, ok := errors.AsType[*objects.InvalidError](err); ok {
		return fmt.Errorf("%s: type %s: a new object would not be valid: %s", file, t.Name, invalid.Reason)
	}
	return nil
}
