package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/tw"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/sluice-lb/sluice/pkg/objects"
)

// The values of --output.
const (
	formatTable = "table"
	formatJSON  = "json"
	formatYAML  = "yaml"
	formatLines = "jsonl" // conftool's own
)

func (c *confctl) outputFlag(flags *pflag.FlagSet) {
	flags.VarP(&objectFormat{&c.output}, "output", "o", "`FORMAT` of get: table, json, yaml, or jsonl, conftool's line per object")
}

// objectFormat is the flag --output of get.
type objectFormat struct{ value *string }

// String returns the format chosen.
func (f *objectFormat) String() string {
	if f.value == nil {
		return ""
	}
	return *f.value
}

// Type names the value in usage texts.
func (f *objectFormat) Type() string { return "format" }

// Set takes one of the formats.
func (f *objectFormat) Set(s string) error {
	switch s {
	case formatTable, formatJSON, formatYAML, formatLines:
		*f.value = s
		return nil
	}
	return errors.New("want table, json, yaml or jsonl")
}

// printObjects prints what get shows, in the format chosen. Objects that cannot
// be shown are named on stderr, and the command fails in the end.
func (c *confctl) printObjects(t *objects.Type, list []objects.Object) error {
	var good []objects.Object
	var lines []string
	for _, o := range list {
		line, err := o.Line()
		if err != nil {
			fmt.Fprintf(c.env.Stderr, "confctl: %v\n", oneLine{err})
			continue
		}
		good, lines = append(good, o), append(lines, line)
	}
	if err := c.printFormat(t, good, lines); err != nil {
		return err
	}
	if len(good) < len(list) {
		return withExit(exitFailure, nil)
	}
	return nil
}

func (c *confctl) printFormat(t *objects.Type, list []objects.Object, lines []string) error {
	switch c.output {
	case formatTable:
		return printTable(c.env.Stdout, t, list)
	case formatYAML:
		return printYAML(c.env.Stdout, list)
	case formatJSON:
		if len(lines) == 0 {
			fmt.Fprintln(c.env.Stdout, "[]")
			return nil
		}
		fmt.Fprintf(c.env.Stdout, "[\n  %s\n]\n", strings.Join(lines, ",\n  "))
		return nil
	}
	w := bufio.NewWriter(c.env.Stdout)
	for _, line := range lines {
		fmt.Fprintln(w, line)
	}
	return w.Flush()
}

// printTable prints one row per object: its tags, its name, its fields.
func printTable(w io.Writer, t *objects.Type, list []objects.Object) error {
	if len(list) == 0 {
		return nil
	}
	head := append(append([]string{}, t.Tags...), "name")
	for _, f := range t.Fields {
		head = append(head, f.Name)
	}
	var text strings.Builder
	table := plainTable(&text, head)
	for _, o := range list {
		var row []string
		for _, tag := range append(append([]string{}, t.Tags...), "name") {
			value, _ := t.Tag(o.Key, tag)
			row = append(row, value)
		}
		for _, f := range t.Fields {
			v, err := o.Value(f.Name)
			if err != nil {
				return err
			}
			cell, err := cellText(v)
			if err != nil {
				return err
			}
			row = append(row, cell)
		}
		if err := table.Append(row); err != nil {
			return err
		}
	}
	if err := table.Render(); err != nil {
		return err
	}
	for line := range strings.Lines(text.String()) {
		fmt.Fprintln(w, strings.TrimRight(line, " \n"))
	}
	return nil
}

// plainTable is a table without lines, which grep and awk can read.
func plainTable(w io.Writer, head []string) *tablewriter.Table {
	off := tw.Off
	table := tablewriter.NewTable(w,
		tablewriter.WithRendition(tw.Rendition{
			Borders: tw.BorderNone,
			Settings: tw.Settings{
				Separators: tw.Separators{BetweenColumns: off, BetweenRows: off, ShowHeader: off, ShowFooter: off},
				Lines:      tw.Lines{ShowHeaderLine: off, ShowFooterLine: off, ShowTop: off, ShowBottom: off},
			},
		}),
		tablewriter.WithHeaderAlignment(tw.AlignLeft), tablewriter.WithRowAlignment(tw.AlignLeft),
		tablewriter.WithPadding(tw.Padding{Right: "  ", Overwrite: true}),
		tablewriter.WithRowAutoWrap(tw.WrapNone), tablewriter.WithTrimSpace(off),
	)
	table.Header(head)
	return table
}

// cellText is a value in a table: a word as it is, all else as JSON.
func cellText(v any) (string, error) {
	if s, ok := v.(string); ok {
		return s, nil
	}
	raw, err := objects.Encode(v)
	return string(raw), err
}

// printYAML prints a list of what conftool's lines hold.
func printYAML(w io.Writer, list []objects.Object) error {
	top := &yaml.Node{Kind: yaml.SequenceNode}
	for _, o := range list {
		item := &yaml.Node{Kind: yaml.MappingNode}
		if err := addYAML(item, o.Key.Name, o.YAML); err != nil {
			return err
		}
		key, tags := new(yaml.Node), new(yaml.Node)
		key.SetString("tags")
		tags.SetString(o.Type.TagString(o.Key))
		item.Content = append(item.Content, key, tags)
		top.Content = append(top.Content, item)
	}
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	return errors.Join(enc.Encode(top), enc.Close())
}

// addYAML adds a key to a mapping, whose value is the YAML text returns.
func addYAML(to *yaml.Node, key string, text func() ([]byte, error)) error {
	out, err := text()
	if err != nil {
		return err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(out, &doc); err != nil {
		return err
	}
	name := new(yaml.Node)
	name.SetString(key)
	to.Content = append(to.Content, name, doc.Content[0])
	return nil
}
