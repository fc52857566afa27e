package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sluice-lb/sluice/pkg/state"
)

const importHelp = `Bring the objects of another store into this one: those of a conftool store on etcd's v2 API, those of a dump of one, or
those of a document that confctl export has written. Values go in byte for byte.

SOURCE is the URL of a v2 server, a file, or - for stdin. Several URLs, by several flags or commas, are servers of one
store and are asked in turn; user, password and certificates are those of the configuration, or of --etcdrc.

Nothing is ever deleted. An object that is here with another value stays as it is without --overwrite. Keys that are of no
type, and values that are none of their type, are named and left out. What was interrupted can be run again.

Exit codes: 0 this store has all that the source has, and with --dry-run nothing else either; 1 not, or one of the two could
not be read; 2 the command line, or the balancers' pools cannot bear it; 3 the configuration of a store.`

func (c *confctl) importCommand() *cobra.Command {
	run := importRun{confctl: c}
	cmd := &cobra.Command{
		Use:   "import --from SOURCE",
		Short: "Bring in the objects of a conftool store on etcd v2, of a dump, or of an export",
		Long:  importHelp,
		Example: "  confctl import --from https://conf1:2379,https://conf2:2379 --dry-run\n" +
			"  confctl import --etcdrc /etc/conftool/etcdrc-v2 --reason 'move to etcd v3'\n" +
			"  confctl import --from dump.json --prefix /conftool/v1\n" +
			"  confctl import --from backup.json --overwrite",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			run.prefixGiven = cmd.Flags().Changed("prefix")
			return run.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&run.from, "from", nil, "`SOURCE`: URL of an etcd v2 server, a file, or - for stdin")
	flags.StringVar(&run.etcdrc, "etcdrc", "", "etcdrc `FILE` of the v2 store: who we are there and, without --from, where it is")
	flags.StringVar(&run.prefix, "prefix", "", "`PREFIX` of the v2 store's keys (here: namespace and api_version of the configuration)")
	flags.BoolVar(&run.overwrite, "overwrite", false, "replace objects that are here with another value")
	flags.BoolVar(&run.skipUnknown, "skip-unknown", false, "exit 0 although there are keys of no type")
	c.writeFlags.add(flags)
	flags.Lookup("dry-run").Usage = "only say what would be done, and whether both are the same"
	return cmd
}

// importRun is one run of import.
type importRun struct {
	*confctl
	from        []string
	etcdrc      string
	prefix      string
	prefixGiven bool
	overwrite   bool
	skipUnknown bool
}

func (r *importRun) run(ctx context.Context) error {
	s, _, err := r.open()
	if err != nil {
		return err
	}
	defer s.close()
	src, err := r.source(ctx, s)
	if err != nil {
		return err
	}
	defer src.close()
	plan, err := r.compare(ctx, s, src)
	if err != nil {
		return err
	}
	if !r.quiet {
		fmt.Fprintln(r.env.Stdout, src.title)
	}
	plan.complain(r)
	muts := plan.mutations()
	if r.dryRun {
		plan.preview(r)
		plan.summarise(r, state.Change{})
		if err := s.guarded(ctx, muts, r.force); err != nil {
			return err
		}
		return r.verdict(plan.wanting(r) || !plan.alike())
	}
	if err := s.guarded(ctx, muts, r.force); err != nil {
		return err
	}
	bar := newProgress(r.env.Stderr, len(muts))
	change, err := s.store.UpdateWithProgress(ctx, s.audit, muts, bar.at)
	bar.end()
	plan.summarise(r, change)
	if err != nil {
		return oneLine{fmt.Errorf("%w; run it again", err)}
	}
	if err := src.since(ctx); err != nil {
		return oneLine{err}
	}
	return r.verdict(plan.wanting(r))
}

// verdict is the silent failure of a run that has said what is wrong.
func (r *importRun) verdict(failed bool) error {
	if failed {
		return withExit(exitFailure, nil)
	}
	return nil
}
