package cli

import "github.com/spf13/cobra"

// Programs returns the command of every program of this room, with all that is
// below it, as --help shows them. They are for reading, not for running.
func Programs() []*cobra.Command {
	all := []*cobra.Command{(&confctl{}).command()}
	for _, v := range verbs() {
		all = append(all, (&onHost{verb: v}).command())
	}
	return append(all, conftoolSync(Env{}), restartCommand(Env{}))
}
