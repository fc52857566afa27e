package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/spf13/pflag"
)

// format is how a list is printed.
type format string

// The formats of the lists conftool did not have.
const (
	asTable format = "table"
	asJSON  format = "json"
	asLines format = "jsonl"
)

func (f *format) flag(flags *pflag.FlagSet) {
	*f = asTable
	flags.VarP(f, "output", "o", "`FORMAT` of the list: table, json or jsonl")
}

// String returns the format's name.
func (f *format) String() string { return string(*f) }

// Type is shown in the help.
func (f *format) Type() string { return "format" }

// Set reads the flag.
func (f *format) Set(text string) error {
	switch format(text) {
	case asTable, asJSON, asLines:
		*f = format(text)
		return nil
	}
	return fmt.Errorf("want table, json or jsonl")
}

// tint is the colour of a cell, by the number of its ANSI sequence.
type tint int

const (
	plain  tint = 0
	red    tint = 31
	green  tint = 32
	yellow tint = 33
)

type cell struct {
	text string
	tint tint
}

// table is a list for people, in columns, and for programs.
type table struct {
	head   []string
	rows   [][]cell
	values []any
}

// add adds a row: its value for programs and its cells for people.
func (t *table) add(value any, cells ...cell) {
	t.values = append(t.values, value)
	t.rows = append(t.rows, cells)
}

func (t *table) print(env Env, f format) error {
	switch f {
	case asJSON:
		return t.json(env)
	case asLines:
		return t.lines(env)
	}
	_, err := fmt.Fprint(env.Stdout, t.text(colourful(env)))
	return err
}

func (t *table) json(env Env) error {
	if t.values == nil {
		t.values = []any{}
	}
	enc := json.NewEncoder(env.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(t.values)
}

func (t *table) lines(env Env) error {
	enc := json.NewEncoder(env.Stdout)
	enc.SetEscapeHTML(false)
	for _, v := range t.values {
		if err := enc.Encode(v); err != nil {
			return err
		}
	}
	return nil
}

// text sets the table in columns, two blanks apart. Nothing follows the last
// word of a line.
func (t *table) text(colour bool) string {
	head := make([]cell, len(t.head))
	for i, name := range t.head {
		head[i] = cell{text: name}
	}
	rows := append([][]cell{head}, t.rows...)
	widths := make([]int, len(head))
	for _, row := range rows {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		gap := 0
		for i, c := range row {
			if c.text != "" {
				b.WriteString(strings.Repeat(" ", gap))
				b.WriteString(c.painted(colour))
				gap = 0
			}
			gap += widths[i] + 2
			if c.text != "" {
				gap -= utf8.RuneCountInString(c.text)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (c cell) painted(colour bool) string {
	if !colour || c.tint == plain {
		return c.text
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", int(c.tint), c.text)
}

// colourful tells whether the output is for a person's eyes who has not
// declined colour (no-color.org).
func colourful(env Env) bool {
	if env.Getenv("NO_COLOR") != "" || env.Getenv("TERM") == "dumb" {
		return false
	}
	f, ok := env.Stdout.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
