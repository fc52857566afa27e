package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sluice-lb/sluice/internal/generate"
	"github.com/sluice-lb/sluice/internal/poolfile"
	"github.com/sluice-lb/sluice/pkg/objects"
)

func (c *confctl) generateCommand() *cobra.Command {
	g := generation{confctl: c}
	var t templating
	cmd := &cobra.Command{
		Use:   "generate {KIND --out DIR | --template FILE --out DEST}",
		Short: "Write files from what the store says",
		Long: "Write PyBal's pool files or dsh groups from the nodes in the store, or files that templates make of any objects,\n" +
			"once or for as long as it runs; or a balancer's pybal.conf from a service catalog.\n" +
			"Templates are Go's, with .Pools, .Sites, objects \"TYPE\" and confd's functions.\n\n" +
			"A file is replaced as a whole and only when it changes. One that would list nobody any more, or that a check refuses,\n" +
			"stays as it was, as does a node whose value cannot be read; each is said on stderr.\n\n" +
			"Exit codes: 0 every file is as the store says, or, with --dry-run, would be; 1 not, or the store could not be read;\n" +
			"2 the command line, or a template that cannot be read.",
		Example: "  confctl generate pybal --out /srv/config-master/pybal\n" +
			"  confctl generate pybal --out /srv/pybal --form json --watch --listen :8080\n" +
			"  confctl generate dsh --out /etc/dsh/group --watch\n" +
			"  confctl generate lbd --catalog service.yaml --site eqiad --class low-traffic --out pybal.conf\n" +
			"  confctl generate --template backends.tmpl --out /etc/haproxy/backends.cfg --dry-run\n" +
			"  confctl generate --template a.tmpl --out /etc/a --template b.tmpl --out /etc/b --watch --reload systemctl --reload reload --reload a\n" +
			"  confctl generate pybal --out DIR --check '[pybal-eval-check, \"{}\"]' --reload systemctl --reload reload --reload nginx",
		Args: c.noKind,
		RunE: func(cmd *cobra.Command, _ []string) error { return t.run(cmd.Context(), &g) },
	}
	t.flags(cmd.Flags())
	g.flags(cmd.Flags())
	cmd.AddCommand(c.generatePyBal(), c.generateDsh(), c.generateLbd())
	for _, kind := range cmd.Commands() {
		kind.PreRunE = noFlagsBefore(cmd)
	}
	return cmd
}

// noFlagsBefore refuses flags that stand before the kind of file: they are
// those of templates.
func noFlagsBefore(generate *cobra.Command) func(*cobra.Command, []string) error {
	return func(kind *cobra.Command, _ []string) (err error) {
		generate.Flags().Visit(func(f *pflag.Flag) {
			err = withExit(exitUsage, fmt.Errorf("--%s stands before %s: flags of a kind of file stand behind it", f.Name, kind.Name()))
		})
		return err
	}
}

func (c *confctl) noKind(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) > 0:
		return fmt.Errorf("unknown kind of file %q: want pybal, dsh, lbd or --template", args[0])
	case !cmd.Flags().Changed("template"):
		return errors.New("no kind of file given: pybal, dsh, lbd or --template FILE")
	}
	return nil
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
			return g.pools(cmd.Context(), func(node *objects.Type) generate.Kind { return generate.Dsh(g.out, node) })
		},
	}
	g.outFlag(cmd.Flags())
	g.flags(cmd.Flags())
	return cmd
}

// generation is one run of generate.
type generation struct {
	*confctl
	out         string
	watch       bool
	preview     bool
	allowEmpty  bool
	checkArgs   []string
	reloadArgs  []string
	listen      string
	metricsFile string
}

// outFlag adds --out DIR.
func (g *generation) outFlag(flags *pflag.FlagSet) {
	flags.StringVar(&g.out, "out", "", "`DIR` to write to")
}

func (g *generation) flags(flags *pflag.FlagSet) {
	flags.BoolVar(&g.watch, "watch", false, "keep the files current until interrupted")
	flags.BoolVar(&g.preview, "dry-run", false, "write nothing, run no command, print what would change as a unified diff")
	flags.BoolVar(&g.allowEmpty, "allow-empty", false, "let nobody, or nothing but comments, replace a file that says something")
	flags.StringArrayVar(&g.checkArgs, "check", nil,
		"command that must approve a new file before it replaces the old one: one flag for each `WORD`, or a YAML list; {} is the file, else it comes last")
	flags.StringArrayVar(&g.reloadArgs, "reload", nil, "command to run after files have changed: one flag for each `WORD`, or a YAML list")
	flags.StringVar(&g.listen, "listen", "", "serve the files over HTTP at `ADDRESS`, below /pybal/, /dsh/ or /template/, with /metrics and /status; implies --watch")
	flags.StringVar(&g.metricsFile, "metrics-file", "", "`FILE` to write metrics to, for node_exporter's textfile collector")
}

// pools makes files of nodes below a directory.
func (g *generation) pools(ctx context.Context, kind func(node *objects.Type) generate.Kind) error {
	if g.out == "" {
		return withExit(exitUsage, errors.New("no --out DIR given"))
	}
	if g.objectType != "node" {
		return withExit(exitUsage, fmt.Errorf("files are made of nodes, not of type %q", g.objectType))
	}
	return g.run(ctx, []string{g.out}, func(s *session) (generate.Kind, error) {
		t, err := s.typeNamed(g.objectType)
		if err != nil {
			return nil, err
		}
		return kind(t), nil
	})
}

// run makes files of a kind, in directories that must be there.
func (g *generation) run(ctx context.Context, dirs []string, kind func(*session) (generate.Kind, error)) error {
	options, err := g.options()
	if err != nil {
		return withExit(exitUsage, err)
	}
	for _, path := range dirs {
		dir, err := poolfile.OpenDir(path)
		if err != nil {
			return withExit(exitUsage, readError("directory", path, err))
		}
		_ = dir.Close() // it was not even read from
	}
	s, err := openSession(g.env, g.root.Flags(), "confctl", g.reason)
	if err != nil {
		return err
	}
	defer s.close()
	if options.Kind, err = kind(s); err != nil {
		return err
	}
	options.Store = s.store
	engine := generate.New(options)
	var ok bool
	switch {
	case options.Listen != "" || g.watch:
		return engine.Follow(ctx)
	case g.preview:
		ok, err = engine.DryRun(ctx, g.env.Stdout)
	default:
		ok, err = engine.Once(ctx)
	}
	if err == nil && !ok {
		return withExit(exitFailure, nil)
	}
	return err
}

// options are what the flags say.
func (g *generation) options() (o generate.Options, err error) {
	g.preview = g.preview || g.dryRun
	if g.preview && (g.watch || g.listen != "" || g.metricsFile != "") {
		return o, errors.New("--dry-run goes with none of --watch, --listen and --metrics-file")
	}
	o = generate.Options{
		Report: generationReport{g.env, g.quiet}, AllowEmpty: g.allowEmpty, Listen: g.listen, MetricsFile: g.metricsFile,
	}
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

func (r generationReport) Stray(t *objects.Type, keys []string) {
	shown := make([]string, len(keys))
	for i, key := range keys {
		if shown[i] = key; !strconv.CanBackquote(key) {
			shown[i] = strconv.Quote(key) // it must not begin a line
		}
	}
	warnStray(r.env, t, shown)
}
