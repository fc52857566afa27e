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
			own := 0
			for line := range strings.Lines(cmd.Example) {
				found := tryExample(t, cmd, strings.TrimSpace(line))
				if found == cmd.CommandPath() || strings.HasPrefix(found, cmd.CommandPath()+" ") {
					own++
				}
			}
			if own == 0 {
				t.Errorf("%s: none of its examples is its own", cmd.CommandPath())
			}
		}
	}
}

// tryExample parses one example with commands of its own, for parsing leaves
// marks, and returns the path of the one it is of.
func tryExample(t *testing.T, cmd *cobra.Command, line string) (path string) {
	t.Helper()
	words := shellWords(line)
	if len(words) == 0 || words[0] != cmd.Root().Name() {
		t.Errorf("%s: example %q is not of this program", cmd.CommandPath(), line)
		return ""
	}
	for _, program := range Programs() {
		if program.Name() != words[0] {
			continue
		}
		args, err := conftoolArgs(program, words[1:])
		if program.Name() == restartProgram {
			args, err = spreadLists(words[1:], "--pools", "--services")
		}
		var found *cobra.Command
		var rest []string
		if err == nil {
			found, rest, err = program.Traverse(args)
		}
		if err == nil {
			err = found.ParseFlags(rest)
		}
		if err == nil {
			err = found.ValidateArgs(found.Flags().Args())
		}
		if err != nil {
			t.Errorf("example %q: %v", line, err)
			continue
		}
		return found.CommandPath()
	}
	return ""
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
