package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sluice-lb/sluice/internal/generate"
	"github.com/sluice-lb/sluice/internal/poolfile"
	"github.com/sluice-lb/sluice/pkg/objects"
)

func (c *confctl) generateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "generate KIND",
		Short: "Write files from what the store says",
		Long: "Write PyBal's pool files or dsh groups from the nodes in the store, once or for as long as it runs,\n" +
			"or a balancer's pybal.conf from a service catalog.\n\n" +
			"A file is replaced as a whole and only when it changes. One that would list nobody any more, or that a check refuses,\n" +
			"stays as it was, as does a node whose value cannot be read; each is said on stderr.\n\n" +
			"Exit codes: 0 every file is as the store says; 1 not, or the store could not be read; 2 the command line.",
		Example: "  confctl generate pybal --out /srv/config-master/pybal\n" +
			"  confctl generate pybal --out /srv/pybal --form json --watch --listen :8080\n" +
			"  confctl generate dsh --out /etc/dsh/group --watch\n" +
			"  confctl generate lbd --catalog service.yaml --site eqiad --class low-traffic --out pybal.conf\n" +
			"  confctl generate pybal --out DIR --check '[pybal-eval-check, \"{}\"]' --reload systemctl --reload reload --reload nginx",
		Args: c.noKind,
		RunE: func(*cobra.Command, []string) error { return nil }, // Args has refused
	}
	cmd.AddCommand(c.generatePyBal(), c.generateDsh(), c.generateLbd())
	return cmd
}

func (c *confctl) noKind(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return errors.New("no kind of file given: pybal, dsh or lbd")
	}
	return fmt.Errorf("unknown kind of file %q: want pybal, dsh or lbd", args[0])
}

func (c *confctl) generatePyBal() *cobra.Command {
	g := generation{confctl: c}
	var form string
	var byCluster bool
	cmd := &cobra.Command{
		Use:   "pybal --out DIR",
		Short: "Write PyBal's pool files, DIR/DC/SERVICE",
		Long: "Write one pool file for each service of each site, as config-master serves them and PyBal and lbd read them.\n" +
			"Inactive nodes are left out. With --form json the files end in .json.",
		Example: "  confctl generate pybal --out /srv/config-master/pybal\n" +
			"  confctl generate pybal --out /srv/pybal --form json --watch --listen :8080",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			form := poolfile.Form(form)
			if form != poolfile.Dict && form != poolfile.JSON {
				return withExit(exitUsage, fmt.Errorf("no form %q: want dict or json", form))
			}
			return g.run(cmd.Context(), func(node *objects.Type) generate.Kind {
				return generate.PyBal(g.out, node, form, byCluster)
			})
		},
	}
	cmd.Flags().StringVar(&form, "form", string(poolfile.Dict), "`FORM` of the files: dict, a line for each server, or json")
	cmd.Flags().BoolVar(&byCluster, "by-cluster", false, "write DIR/DC/CLUSTER/SERVICE: clusters may then have services of the same name")
	g.flags(cmd.Flags())
	return cmd
}

func (c *confctl) generateDsh() *cobra.Command {
	g := generation{confctl: c}
	cmd := &cobra.Command{
		Use:   "dsh --out DIR",
		Short: "Write dsh groups, DIR/CLUSTER-SERVICE",
		Long:  "Write one dsh group for each service of each cluster: the hosts of all sites that are not inactive.",
		Example: "  confctl generate dsh --out /etc/dsh/group\n" +
			"  confctl generate dsh --out /etc/dsh/group --watch",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.run(cmd.Context(), func(node *objects.Type) generate.Kind { return generate.Dsh(g.out, node) })
		},
	}
	g.flags(cmd.Flags())
	return cmd
}

// generation is one run of generate.
type generation struct {
	*confctl
	out        string
	watch      bool
	allowEmpty bool
	checkArgs  []string
	reloadArgs []string
	listen     string
}

func (g *generation) flags(flags *pflag.FlagSet) {
	flags.StringVar(&g.out, "out", "", "`DIR` to write to")
	flags.BoolVar(&g.watch, "watch", false, "keep the files current until interrupted")
	flags.BoolVar(&g.allowEmpty, "allow-empty", false, "let a pool without servers replace a file that lists some")
	flags.StringArrayVar(&g.checkArgs, "check", nil,
		"command that must approve a new file before it replaces the old one: one flag for each `WORD`, or a YAML list; {} is the file, else it comes last")
	flags.StringArrayVar(&g.reloadArgs, "reload", nil, "command to run after files have changed: one flag for each `WORD`, or a YAML list")
	flags.StringVar(&g.listen, "listen", "", "serve the files over HTTP at `ADDRESS`, below /pybal/ or /dsh/; implies --watch")
}

func (g *generation) run(ctx context.Context, kind func(node *objects.Type) generate.Kind) error {
	options, err := g.options()
	if err != nil {
		return withExit(exitUsage, err)
	}
	dir, err := poolfile.OpenDir(g.out)
	if err != nil {
		return withExit(exitUsage, readError("directory", g.out, err))
	}
	_ = dir.Close() // it was read from, at most
	s, t, err := g.open()
	if err != nil {
		return err
	}
	defer s.close()
	options.Store, options.Kind = s.store, kind(t)
	engine := generate.New(options)
	if g.watch || g.listen != "" {
		return engine.Follow(ctx)
	}
	ok, err := engine.Once(ctx)
	if err == nil && !ok {
		return withExit(exitFailure, nil)
	}
	return err
}

// options are what the flags say.
func (g *generation) options() (o generate.Options, err error) {
	if g.out == "" {
		return o, errors.New("no --out DIR given")
	}
	if g.objectType != "node" {
		return o, fmt.Errorf("files are made of nodes, not of type %q", g.objectType)
	}
	o = generate.Options{Report: generationReport{g.env, g.quiet}, AllowEmpty: g.allowEmpty, Listen: g.listen}
	if o.Check, err = generate.ParseHook("check", g.checkArgs); err != nil {
		return o, oneLine{err}
	}
	if o.Reload, err = generate.ParseHook("reload", g.reloadArgs); err != nil {
		return o, oneLine{err}
	}
	return o, nil
}

// generationReport prints what becomes of generated files.
type generationReport struct {
	env   Env
	quiet bool
}

func (r generationReport) Wrote(file, what string) {
	if !r.quiet {
		fmt.Fprintf(r.env.Stdout, "%s: %s\n", file, what)
	}
}

func (r generationReport) Trouble(about string, err error) {
	if err == nil {
		fmt.Fprintf(r.env.Stderr, "confctl: %s: well again\n", about)
		return
	}
	fmt.Fprintf(r.env.Stderr, "confctl: %s: %v\n", about, oneLine{err})
}

func (r generationReport) Stray(t *objects.Type, keys []string) { warnStray(r.env, t, keys) }
