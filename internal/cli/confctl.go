package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/sluice-lb/sluice/pkg/objects"
)

// Confctl is conftool's confctl: it shows and changes objects. It returns the
// exit code.
func Confctl(ctx context.Context, env Env) int {
	c := &confctl{env: env, stdin: bufio.NewReader(env.Stdin)}
	return execute(ctx, env, c.command())
}

// confctl holds the global flags, which stand before the mode as in conftool.
type confctl struct {
	env        Env
	objectType string
	host       bool
	quiet      bool
	debug      bool
	yaml       bool
	output     string
	writeFlags
	waiting
	stdin *bufio.Reader
	root  *cobra.Command
}

func (c *confctl) command() *cobra.Command {
	c.root = &cobra.Command{
		Use:   "confctl [FLAGS] MODE …",
		Short: "Show and change the state of servers, services and sites",
		Long: "Show and change the state of servers, services and sites, find out whether balancers have taken it up,\n" +
			"and see who changed what. The flags here stand before the mode, those of a mode behind it.",
		Example: "  confctl select 'dc=eqiad,service=https' get\n" +
			"  confctl --reason T1234 select name=cp1001.eqiad.wmnet set/pooled=no --wait\n" +
			"  confctl status",
		Version:          version(),
		TraverseChildren: true,
		Args:             c.noMode,
		RunE:             func(*cobra.Command, []string) error { return nil }, // Args has refused
	}
	c.root.SetVersionTemplate("confctl {{.Version}}\n")
	flags := c.root.Flags()
	configFlags(flags)
	flags.StringVar(&c.objectType, "object-type", "node", "`TYPE` of the objects to act on")
	flags.BoolVar(&c.host, "host", false, "do not ask when all selected objects have the same name")
	flags.BoolVar(&c.quiet, "quiet", false, "do not announce what was done")
	flags.BoolVar(&c.debug, "debug", false, "log what is done on stderr")
	flags.BoolVar(&c.yaml, "yaml", false, "YAML where conftool has it: what is selected before asking, and tags … get all")
	c.writeFlags.add(flags)
	c.outputFlag(flags)
	c.root.AddCommand(c.selectCommand(), c.tagsCommand(), c.syncCommand())
	c.root.AddCommand(c.historyCommand(), c.showChangeCommand(), c.undoCommand(), c.watchCommand())
	c.root.AddCommand(c.verifyCommand(), c.statusCommand(), c.balancersCommand(), c.locksCommand())
	c.root.AddCommand(c.generateCommand(), c.importCommand(), c.exportCommand())
	c.root.AddCommand(c.schemaCommand())
	for _, v := range verbs() {
		c.root.AddCommand(c.verbCommand(v))
	}
	return c.root
}

func (c *confctl) noMode(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return errors.New("no mode given")
	}
	return fmt.Errorf("unknown mode %q", args[0])
}

// open opens a session and the type the command acts on.
func (c *confctl) open() (*session, *objects.Type, error) {
	s, err := openSession(c.env, c.root.Flags(), c.root.Name(), c.reason)
	if err != nil {
		return nil, nil, err
	}
	t, err := s.typeNamed(c.objectType)
	if err != nil {
		return nil, nil, errors.Join(err, s.close())
	}
	return s, t, nil
}

// log returns the logger of --debug.
func (c *confctl) log() *slog.Logger {
	if !c.debug {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(c.env.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// version is the version the program was built as.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// execute runs a command and its subcommands in the environment. What is wrong
// with the command line is a usage error, whoever finds it.
func execute(ctx context.Context, env Env, root *cobra.Command) int {
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.SilenceErrors, root.SilenceUsage = true, true
	usage := func(cmd *cobra.Command, err error) error {
		return withExit(exitUsage, fmt.Errorf("%w (see %s --help)", err, cmd.CommandPath()))
	}
	root.SetFlagErrorFunc(usage)
	for _, cmd := range withChildren(root) {
		check := cmd.Args
		if check == nil {
			continue
		}
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usage(cmd, err)
			}
			return nil
		}
	}
	args := env.Args
	if !completing(args) {
		var err error
		if args, err = conftoolArgs(root, args); err != nil {
			return finish(root.Name(), env.Stderr, usage(root, err))
		}
	}
	root.SetArgs(args)
	return finish(root.Name(), env.Stderr, root.ExecuteContext(ctx))
}

// withChildren returns a command and all below it.
func withChildren(cmd *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{cmd}
	for _, child := range cmd.Commands() {
		all = append(all, withChildren(child)...)
	}
	return all
}

// exactly wants these arguments, which it names in its error.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return fmt.Errorf("no %s given", names[len(args)])
		}
		return atMost(len(names))(cmd, args)
	}
}

// atMost wants no more than so many arguments.
func atMost(n int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > n {
			return fmt.Errorf("argument %q is one too many", args[n])
		}
		return nil
	}
}
