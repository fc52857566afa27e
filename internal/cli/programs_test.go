package cli

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Every command explains itself, and what its examples show is a command line
// that it understands.
func TestEveryCommandIsExplained(t *testing.T) {
	for _, program := range Programs() {
		for _, cmd := range withChildren(program) {
			t.Run(cmd.CommandPath(), func(t *testing.T) {
				if cmd.Short == "" || cmd.Long == "" || cmd.Example == "" {
					t.Errorf("short %q, long %q, example %q: something is missing", cmd.Short, cmd.Long, cmd.Example)
				}
				if strings.HasSuffix(cmd.Short, ".") || strings.Contains(cmd.Short, "\n") {
					t.Errorf("short %q: want one line without a full stop", cmd.Short)
				}
			})
			for line := range strings.Lines(cmd.Example) {
				tryExample(t, cmd, strings.TrimSpace(line))
			}
		}
	}
}

// tryExample parses one example with commands of its own: parsing leaves marks.
func tryExample(t *testing.T, cmd *cobra.Command, line string) {
	t.Helper()
	words := shellWords(line)
	if len(words) == 0 || words[0] != cmd.Root().Name() {
		t.Errorf("%s: example %q is not of this program", cmd.CommandPath(), line)
		return
	}
	for _, program := range Programs() {
		if program.Name() != words[0] {
			continue
		}
		args := words[1:]
		if program.Name() == restartProgram {
			args, _ = spreadLists(args, "--pools", "--services")
		}
		args, err := conftoolArgs(program, args)
		if err != nil {
			t.Errorf("example %q: %v", line, err)
			continue
		}
		found, rest, err := program.Traverse(args)
		if err == nil {
			err = found.ParseFlags(rest)
		}
		if err == nil {
			err = found.ValidateArgs(found.Flags().Args())
		}
		if err != nil {
			t.Errorf("example %q: %v", line, err)
		} else if found.CommandPath() != cmd.CommandPath() && !strings.HasPrefix(found.CommandPath(), cmd.CommandPath()+" ") {
			t.Errorf("%s: example %q is one of %s", cmd.CommandPath(), line, found.CommandPath())
		}
	}
}

// shellWords splits a line at blanks that are not within single quotes.
func shellWords(line string) []string {
	var words []string
	quoted, open := false, false
	for _, r := range line {
		switch {
		case r == '\'':
			quoted = !quoted
		case r == ' ' && !quoted:
			open = false
			continue
		}
		if !open {
			words = append(words, "")
		}
		open = true
		if r != '\'' {
			words[len(words)-1] += string(r)
		}
	}
	return words
}
