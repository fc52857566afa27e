package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sluice-lb/sluice/internal/poolfile"
	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
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
	g := generation{confctl: c, kind: "pybal"}
	var form string
	layout := pybalLayout{}
	cmd := &cobra.Command{
		Use:   "pybal --out DIR",
		Short: "Write PyBal's pool files, DIR/DC/SERVICE",
		Long: "Write one pool file for each service of each site, as config-master serves them and PyBal and lbd read them.\n" +
			"Inactive nodes are left out. With --form json the files end in .json.",
		Example: "  confctl generate pybal --out /srv/config-master/pybal\n" +
			"  confctl generate pybal --out /srv/pybal --form json --watch --listen :8080",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			layout.form = poolfile.Form(form)
			if layout.form != poolfile.Dict && layout.form != poolfile.JSON {
				return withExit(exitUsage, fmt.Errorf("no form %q: want dict or json", form))
			}
			g.layout = layout
			return g.run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&form, "form", string(poolfile.Dict), "`FORM` of the files: dict, a line for each server, or json")
	cmd.Flags().BoolVar(&layout.byCluster, "by-cluster", false, "write DIR/DC/CLUSTER/SERVICE: clusters may then have services of the same name")
	g.flags(cmd.Flags())
	return cmd
}

func (c *confctl) generateDsh() *cobra.Command {
	g := generation{confctl: c, kind: "dsh", layout: dshLayout{}}
	cmd := &cobra.Command{
		Use:   "dsh --out DIR",
		Short: "Write dsh groups, DIR/CLUSTER-SERVICE",
		Long:  "Write one dsh group for each service of each cluster: the hosts of all sites that are not inactive.",
		Example: "  confctl generate dsh --out /etc/dsh/group\n" +
			"  confctl generate dsh --out /etc/dsh/group --watch",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return g.run(cmd.Context()) },
	}
	g.flags(cmd.Flags())
	return cmd
}

// generation is one run of generate.
type generation struct {
	*confctl
	kind       string // the first part of the paths served
	layout     layout
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

// settleAfter is how long a change waits for those that come with it.
const settleAfter = 20 * time.Millisecond

// resyncEvery is how often all files are compared with the store although
// nothing changed there: somebody may have edited one.
const resyncEvery = time.Minute

func (g *generation) run(ctx context.Context) error {
	if g.out == "" {
		return withExit(exitUsage, errors.New("no --out DIR given"))
	}
	check, err := parseHook("check", g.checkArgs)
	if err != nil {
		return withExit(exitUsage, err)
	}
	reload, err := parseHook("reload", g.reloadArgs)
	if err != nil {
		return withExit(exitUsage, err)
	}
	if g.objectType != "node" {
		return withExit(exitUsage, fmt.Errorf("files are made of nodes, not of type %q", g.objectType))
	}
	dir, err := poolfile.OpenDir(g.out)
	if err != nil {
		return withExit(exitUsage, readError("directory", g.out, err))
	}
	defer dir.Close()
	s, t, err := g.open()
	if err != nil {
		return err
	}
	defer s.close()
	w := &fileWriter{generation: g, dir: dir, nodes: newNodeReader(t), check: check, reload: reload, written: map[string]string{}, said: map[string]string{}}
	if g.watch || g.listen != "" {
		return g.follow(ctx, s, t, w)
	}
	all, err := t.SelectExact(nil)
	if err != nil {
		return err
	}
	found, err := s.store.List(ctx, t, all)
	if err != nil {
		return err
	}
	warnStray(g.env, t, found.Stray)
	entries := make([]state.Entry, 0, len(found.Objects))
	for _, o := range found.Objects {
		entries = append(entries, state.Entry{Key: o.Key.String(), Value: o.Raw, Revision: o.Revision})
	}
	if !w.pass(ctx, entries) {
		return withExit(exitFailure, nil)
	}
	return nil
}

// follow keeps the files as the store says until ctx ends.
func (g *generation) follow(ctx context.Context, s *session, t *objects.Type, w *fileWriter) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	if g.listen != "" {
		l, err := net.Listen("tcp", g.listen)
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		go func() { served <- serveFiles(ctx, l, g.kind, w.dir) }()
	}
	events := make(chan state.Event, 64)
	watched := make(chan error, 1)
	go func() {
		watched <- s.store.Watch(ctx, s.store.Prefix(t), func(e state.Event) {
			select {
			case events <- e:
			case <-ctx.Done():
			}
		})
	}()
	err := w.follow(ctx, events, served)
	cancel()
	return errors.Join(err, <-watched)
}

// follow takes events and writes files, soon after each change and now and
// then, until ctx ends or the web server does.
func (w *fileWriter) follow(ctx context.Context, events <-chan state.Event, served <-chan error) error {
	var last *state.Snapshot
	var soon <-chan time.Time
	resync := time.NewTicker(resyncEvery)
	defer resync.Stop()
	for {
		select {
		case <-ctx.Done():
			if w.listen != "" {
				return <-served
			}
			return nil
		case err := <-served:
			return err
		case e := <-events:
			if e.Err != nil {
				w.complain("store", e.Err)
				continue
			}
			w.complain("store", nil)
			if e.Snapshot == nil {
				continue
			}
			if last = e.Snapshot; soon == nil {
				soon = time.After(settleAfter)
			}
		case <-soon:
			soon = nil
			w.pass(ctx, last.Entries)
		case <-resync.C:
			clear(w.written)
			if last != nil {
				w.pass(ctx, last.Entries)
			}
		}
	}
}
