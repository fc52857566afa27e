package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// defaultEditor is conftool's.
const defaultEditor = "/usr/bin/editor"

// edit has the operator edit the objects one after the other, and writes all of
// them at once. Only what was altered is written: what others change meanwhile
// stays. Where one object is given up, nothing is written.
func (c *confctl) edit(ctx context.Context, s *session, list []objects.Object, job task) error {
	if job.ask != nil { // about the objects; there is no plan before they are edited
		if err := job.ask(ctx, plan{}); err != nil {
			return err
		}
		job.ask = nil
	}
	editor, err := splitWords(cmp.Or(c.env.Getenv("EDITOR"), defaultEditor))
	if err != nil || len(editor) == 0 {
		return fmt.Errorf("EDITOR %q: %w", c.env.Getenv("EDITOR"), cmp.Or(err, errors.New("names no program")))
	}
	check := newRuleChecker()
	for _, o := range list {
		set, err := c.editOne(ctx, editor, o, check)
		if err != nil {
			return fmt.Errorf("edit %s: %w", o.Key, oneLine{err})
		}
		job.muts = append(job.muts, state.Mutation{Verb: state.Patch, Object: o, Set: set})
	}
	job.edited = true
	return c.write(ctx, s, job)
}

// editOne runs the editor on one object until what comes out is valid, or the
// operator gives up. It returns the fields that were altered.
func (c *confctl) editOne(ctx context.Context, editor []string, o objects.Object, check *ruleChecker) ([]objects.Setting, error) {
	text, err := o.YAML()
	if err != nil {
		return nil, err
	}
	file, err := os.CreateTemp("", "confctl-*.yaml")
	if err != nil {
		return nil, err
	}
	defer os.Remove(file.Name())
	_, err = fmt.Fprintf(file, "# Editing object %s\n%s", o.Key, text)
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	for {
		if err := c.runEditor(ctx, editor, file.Name()); err != nil {
			return nil, err
		}
		set, err := altered(o, file.Name(), check)
		if err == nil {
			return set, nil
		}
		fmt.Fprintf(c.env.Stdout, "%v\n", oneLine{err})
		if err := c.again(ctx); err != nil {
			return nil, err
		}
	}
}

func (c *confctl) runEditor(ctx context.Context, editor []string, file string) error {
	cmd := exec.CommandContext(ctx, editor[0], append(editor[1:], file)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.env.Stdin, c.env.Stdout, c.env.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %s: %w", editor[0], err)
	}
	return nil
}

// again asks whether to go on editing; its error means no.
func (c *confctl) again(ctx context.Context) error {
	for {
		fmt.Fprint(c.env.Stdout, "Continue editing? [y/n] ")
		answer, err := c.readLine(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("read answer: %w", err)
		case strings.EqualFold(answer, "y"):
			return nil
		case strings.EqualFold(answer, "n"):
			return errors.New("given up, nothing changed")
		}
	}
}

// altered reads what the operator left, and returns the fields that differ from
// the object. A field taken out of the text stays as it is.
func altered(o objects.Object, file string, check *ruleChecker) ([]objects.Setting, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	set, err := o.Type.ParseSettingsFile(data, "edited text")
	if err != nil {
		return nil, err
	}
	raw, diffs, err := o.Patch(set)
	if err != nil {
		return nil, err
	}
	if err := check.object(o, raw); err != nil {
		return nil, err
	}
	only := []objects.Setting{}
	for _, d := range diffs {
		only = append(only, objects.Setting{Field: d.Field, Value: d.New})
	}
	return only, nil
}

// printEdited prints conftool's line for every object that was edited.
func printEdited(w io.Writer, change state.Change) {
	for _, o := range change.Objects {
		fmt.Fprintf(w, "Entity %s successfully updated\n", o.Object.Key)
	}
}

// splitWords splits a command line as a shell would, by blanks, quotation marks
// and backslashes, and runs nothing.
func splitWords(s string) ([]string, error) {
	var words []string
	var word strings.Builder
	in, quote := false, byte(0)
	for i := 0; i < len(s); i++ {
		ch := s[i]
		switch {
		case quote != 0 && ch == quote:
			quote = 0
		case ch == '\\' && quote != '\'':
			if i++; i == len(s) {
				return nil, errors.New("ends in a backslash")
			}
			if quote == '"' && s[i] != '"' && s[i] != '\\' {
				word.WriteByte('\\')
			}
			in = true
			word.WriteByte(s[i])
		case quote == 0 && (ch == '\'' || ch == '"'):
			in, quote = true, ch
		case quote == 0 && strings.IndexByte(" \t\n", ch) >= 0:
			if in {
				words = append(words, word.String())
			}
			in = false
			word.Reset()
		default:
			in = true
			word.WriteByte(ch)
		}
	}
	if quote != 0 {
		return nil, errors.New("a quotation mark is not closed")
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}
