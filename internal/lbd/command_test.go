package lbd

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Every command says what it is for, and its examples are commands there are.
func TestCommandsAreDescribed(t *testing.T) {
	exampled := map[string]bool{}
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Short == "" || cmd.Long == "" || cmd.Example == "" {
			t.Errorf("%s: short %q, long %q, example %q: something is missing", cmd.CommandPath(), cmd.Short, cmd.Long, cmd.Example)
		}
		for line := range strings.Lines(cmd.Example) {
			exampled[parse(t, strings.TrimSpace(line))] = true
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(Program())
	for _, path := range []string{"lbd", "lbd check-config", "lbd check alerts", "lbd check ipvs-diff", "lbd check bgp"} {
		if !exampled[path] {
			t.Errorf("%s has no example", path)
		}
	}
}

// parse parses one line with commands of its own, and returns which one it is.
func parse(t *testing.T, line string) (path string) {
	t.Helper()
	words := strings.Fields(line)
	if words[0] != "lbd" {
		t.Fatalf("%q is no command of lbd", line)
	}
	cmd, args, err := Program().Find(words[1:])
	if err == nil {
		err = cmd.ParseFlags(args)
	}
	if err == nil {
		err = cmd.ValidateArgs(cmd.Flags().Args())
	}
	if err != nil {
		t.Errorf("%q: %v", line, err)
	}
	return cmd.CommandPath()
}
