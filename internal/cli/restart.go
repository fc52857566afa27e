package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-lb/sluice/internal/systemd"
	"github.com/sluice-lb/sluice/internal/workflow"
	"github.com/sluice-lb/sluice/pkg/lbverify"
)

const restartProgram = "restart-service"

const restartHelp = `Take this host out of its pools, restart services, and bring it back.

Every load balancer of every pool is asked whether the host is out, and later
whether it is in again, at the very revision of the change. Unless all of them
say so, nothing is restarted.

Exit codes:
    0   done, or nothing to do
    n   that of the last service that did not restart; the host stays depooled
    2   the command line, an unknown pool, no headroom, or no slot under
        --max-concurrency: nothing was written
    1   the configuration, the catalog or the present state could not be read
  127   the store or a load balancer did not confirm
  130   interrupted; what is left in which state is said`

// Where the reference finds these.
const (
	defaultCatalog = "/etc/conftool/local_services.yaml"
	dcFile         = "/etc/wikimedia-cluster"
	exitSignal     = 130
)

// restartOptions are the flags of restart-service.
type restartOptions struct {
	objectType     string
	debug          bool
	force          bool
	retries        int
	wait           seconds
	timeout        seconds
	grace          seconds
	catalog        string
	pools          []string
	services       []string
	pool           bool
	depool         bool
	hostname       string
	dc             string
	restartCommand string
	ignoreHeadroom bool
	without        []string
	maxConcurrency atMostHosts
	lockTimeout    seconds
}

// RestartService is safe-service-restart: with --services it depools, restarts
// and repools; with --depool or --pool it does that part alone.
func RestartService(ctx context.Context, env Env) int {
	args, err := spreadLists(env.Args, "--pools", "--services")
	if err == nil {
		cmd := restartCommand(env)
		cmd.SetArgs(args)
		err = cmd.ExecuteContext(ctx)
	}
	return finish(restartProgram, env.Stderr, err)
}

func restartCommand(env Env) *cobra.Command {
	var o restartOptions
	cmd := &cobra.Command{
		Use:   restartProgram + " --pools POOL… {--services SERVICE… | --depool | --pool}",
		Short: "Restart services of a load-balanced host without losing requests",
		Long:  restartHelp,
		Example: "  restart-service --pools text-https --services nginx varnish\n" +
			"  restart-service --pools text-https --depool --retries 10 --wait 5",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unexpected argument %q", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd, env) },
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return withExit(exitUsage, err) })
	cmd.SetOut(env.Stdout)
	cmd.SetErr(env.Stderr)
	configFlags(cmd.Flags())
	o.flags(cmd)
	return cmd
}

func (o *restartOptions) flags(cmd *cobra.Command) {
	o.wait, o.timeout, o.grace, o.lockTimeout = 3, 5, 3, 600
	f := cmd.Flags()
	f.StringVar(&o.objectType, "object-type", "node", "object `TYPE`")
	f.BoolVar(&o.debug, "debug", false, "log more")
	f.BoolVar(&o.force, "force", false, "restart only: no depool, no repool")
	f.IntVar(&o.retries, "retries", 5, "ask a load balancer `N` times; N × --wait + --timeout is how long to wait for all of them")
	f.Var(&o.wait, "wait", "`SECONDS` between two questions")
	f.Var(&o.timeout, "timeout", "`SECONDS` for one question")
	f.Var(&o.grace, "grace-period", "`SECONDS` between depool and restart; 0 or less for none")
	f.StringVar(&o.catalog, "catalog", defaultCatalog, "catalog `FILE`: pools, their tags, port and load balancers")
	f.StringArrayVar(&o.without, "without-lb", nil, "without a catalog, leave out the balancer `NAME`; may be given several times")
	f.StringArrayVar(&o.pools, "pools", nil, "`POOL`s of the catalog, separated by blanks; without a catalog, of the registered balancers, or dc/cluster/service")
	f.StringArrayVar(&o.services, "services", nil, "systemd `UNIT`s to restart, separated by blanks")
	f.BoolVar(&o.pool, "pool", false, "pool what says no")
	f.BoolVar(&o.depool, "depool", false, "depool what says yes")
	f.StringVar(&o.hostname, "hostname", "", "the host's `NAME` in the pools (default: this machine's full name)")
	f.StringVar(&o.dc, "dc", "", "the host's `DATACENTER` (default: what "+dcFile+" holds, else \"default\")")
	f.StringVar(&o.restartCommand, "restart-command", "", "restart by `PROGRAM` restart UNIT instead of over D-Bus")
	f.Var(&o.maxConcurrency, "max-concurrency", "with --services, let at most this many hosts of a pool, a `NUMBER` or a share like 10%, restart at a time; 0 is no limit")
	f.Var(&o.lockTimeout, "lock-timeout", "`SECONDS` to wait for a slot under --max-concurrency")
	f.BoolVar(&o.ignoreHeadroom, "ignore-headroom", false, "depool even where too few healthy servers remain")
}

// check finds what no single flag can know of itself.
func (o *restartOptions) check() error {
	modes := 0
	for _, given := range []bool{len(o.services) > 0, o.pool, o.depool} {
		if given {
			modes++
		}
	}
	switch {
	case modes != 1:
		return usagef("want exactly one of --services, --pool and --depool")
	case o.force && len(o.services) == 0:
		return usagef("--force goes with --services")
	case len(o.pools) == 0 && (!o.force || o.maxConcurrency.wanted()):
		return usagef("--pools is missing")
	case o.maxConcurrency.wanted() && len(o.services) == 0:
		return usagef("--max-concurrency goes with --services")
	case o.retries < 1:
		return usagef("--retries: want at least 1")
	case o.wait <= 0 || o.timeout <= 0:
		return usagef("--wait and --timeout: want more than 0")
	}
	return nil
}

func (o *restartOptions) run(cmd *cobra.Command, env Env) error {
	if err := o.check(); err != nil {
		return err
	}
	log := slog.New(newLineHandler(env.Stderr, o.debug))
	p := &workflow.Procedure{
		Restarter:      o.restarter(env),
		Grace:          o.grace.duration(),
		IgnoreHeadroom: o.ignoreHeadroom,
		Log:            log,
	}
	if o.force && !o.maxConcurrency.wanted() {
		return restartExit(p.Force(cmd.Context(), o.units()))
	}
	catalog, err := o.readCatalog(cmd.Flags().Changed("catalog"))
	if err != nil {
		return restartExit(err)
	}
	if err := o.locate(p, env, catalog); err != nil {
		return restartExit(err)
	}
	s, err := openSession(env, cmd.Flags(), restartProgram, "")
	if err != nil {
		return err
	}
	defer s.close()
	p.Store, p.Audit, p.Floors = s.store, s.audit, s.floorsWithout
	if catalog == nil {
		log.Info("no catalog: asking the balancers that have registered")
		if p.Pools, err = o.registered(cmd.Context(), s, p.DC); err != nil {
			return restartExit(err)
		}
	}
	if p.Type, err = s.typeNamed(o.objectType); err != nil {
		return err
	}
	p.Verifier = lbverify.New(lbverify.Options{
		Retries: o.retries, Wait: o.wait.duration(), Timeout: o.timeout.duration(), Roots: s.roots, Log: log,
	})
	release, err := o.claim(cmd.Context(), s, p, log)
	if err != nil {
		return err
	}
	defer release()
	return restartExit(o.carryOut(cmd.Context(), p))
}

// readCatalog reads the catalog. Where nobody has named one and there is none
// at its usual place, it is nil: the pools are then those registered.
func (o *restartOptions) readCatalog(named bool) (*workflow.Catalog, error) {
	data, err := os.ReadFile(o.catalog)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return nil, nil
	}
	if err != nil {
		return nil, readError("catalog", o.catalog, err)
	}
	if len(o.without) > 0 {
		return nil, usagef("--without-lb: the catalog %s says whom to ask", o.catalog)
	}
	catalog, err := workflow.ParseCatalog(data, o.catalog)
	return &catalog, err
}

// registered finds the pools by the balancers that have registered for them.
func (o *restartOptions) registered(ctx context.Context, s *session, dc string) ([]workflow.Entry, error) {
	m, err := s.balancers(ctx)
	if err != nil {
		return nil, err
	}
	if err := m.known(o.without); err != nil {
		return nil, err
	}
	return workflow.Membership{Members: m.members, DC: dc, Without: o.without}.Pick(o.pools)
}

// locate finds out which host this is and which pools it is asked about.
func (o *restartOptions) locate(p *workflow.Procedure, env Env, catalog *workflow.Catalog) (err error) {
	if catalog != nil {
		if p.Pools, err = catalog.Pick(o.pools); err != nil {
			return err
		}
	}
	if p.DC, err = o.datacenter(); err != nil {
		return err
	}
	p.Host = o.hostname
	if p.Host == "" {
		if p.Host, err = env.Hostname(); err != nil {
			return fmt.Errorf("find own name: %w", err)
		}
	}
	return nil
}

func (o *restartOptions) datacenter() (string, error) {
	if o.dc != "" {
		return o.dc, nil
	}
	data, err := os.ReadFile(dcFile)
	if errors.Is(err, fs.ErrNotExist) {
		return "default", nil
	}
	if err != nil {
		return "", readError("datacenter", dcFile, err)
	}
	return strings.TrimSpace(string(data)), nil
}

func (o *restartOptions) restarter(env Env) workflow.Restarter {
	if o.restartCommand != "" {
		return systemd.Command{Program: o.restartCommand, Stdout: env.Stdout, Stderr: env.Stderr}
	}
	return systemd.Bus{}
}

func (o *restartOptions) units() []string {
	var units []string
	for _, name := range o.services {
		units = append(units, systemd.UnitName(name))
	}
	return units
}

func (o *restartOptions) carryOut(ctx context.Context, p *workflow.Procedure) error {
	switch {
	case o.depool:
		return p.Depool(ctx)
	case o.pool:
		return p.Pool(ctx)
	case o.force:
		return p.Force(ctx, o.units())
	}
	return p.Restart(ctx, o.units())
}

// restartExit gives a procedure's error its exit code.
func restartExit(err error) error {
	failed, isRestart := errors.AsType[*workflow.RestartError](err)
	switch {
	case err == nil:
		return nil
	case isRestart:
		return withExit(failed.Code, err)
	case errors.Is(err, workflow.ErrInterrupted):
		return withExit(exitSignal, err)
	case errors.Is(err, workflow.ErrRefused):
		return withExit(exitUsage, err)
	case errors.Is(err, workflow.ErrUnconfirmed):
		return withExit(exitUnverified, err)
	}
	return err
}

func usagef(format string, args ...any) error {
	return withExit(exitUsage, fmt.Errorf(format, args...))
}
