package cli

import (
	"bufio"
	"context"
	"errors"

	"github.com/spf13/cobra"
)

// ConftoolSync is confctl sync under conftool's name and with its flags, for
// the hooks and cron jobs that call it. Like conftool's it prints nothing on
// stdout.
func ConftoolSync(ctx context.Context, env Env) int { return execute(ctx, env, conftoolSync(env)) }

func conftoolSync(env Env) *cobra.Command {
	c := &confctl{env: env, objectType: "node", stdin: bufio.NewReader(env.Stdin)}
	run := syncRun{confctl: c, summary: env.Stderr}
	c.root = &cobra.Command{
		Use:   "conftool-sync --directory DIR",
		Short: "Create and remove objects as the files in a directory say",
		Long: "Do what confctl sync DIR does, with the flags of conftool's program of this name.\n\n" +
			"Exit codes: 0 all is as the files say; 1 not all; 2 the command line, or no such DIR; 3 no way to the store is configured.",
		Example: "  conftool-sync --directory /etc/conftool/data\n  conftool-sync --dry-run --directory conftool-data",
		Version: version(),
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if run.dir == "" {
				return withExit(exitUsage, errors.New("no --directory DIR given (see conftool-sync --help)"))
			}
			return run.sync(cmd.Context())
		},
	}
	c.root.SetVersionTemplate("conftool-sync {{.Version}}\n")
	flags := c.root.Flags()
	configFlags(flags)
	flags.StringVar(&run.dir, "directory", "", "`DIR` with a directory of files for each type")
	flags.BoolVar(&c.debug, "debug", false, "log what is done on stderr")
	run.flags(flags)
	return c.root
}
