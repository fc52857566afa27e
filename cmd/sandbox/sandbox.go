package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/sluice-lb/sluice/internal/devetcd"
	"github.com/sluice-lb/sluice/internal/health"
	"github.com/sluice-lb/sluice/internal/lbd"
	"github.com/sluice-lb/sluice/pkg/lbstatus"
	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// run is the program: it returns when interrupted.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var opts options
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "run the whole system on loopback",
		Long: `sandbox runs an embedded etcd, six toy servers and two balancers in this process,
on loopback addresses below one /16, and prints commands to try. It ends, and
removes what it made, on Ctrl-C.`,
		Args: cobra.NoArgs, SilenceErrors: true, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return sandbox(cmd.Context(), opts, stdout) },
	}
	cmd.Flags().StringVar(&opts.dir, "dir", "", "directory for data and configuration (default: a temporary one)")
	cmd.Flags().BoolVar(&opts.keep, "keep", false, "keep that directory at the end")
	cmd.Flags().StringVar(&opts.net, "net", "127.50", "first two numbers of all addresses")
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(stderr, "sandbox: %v\n", err)
		return 1
	}
	return 0
}

// options are the command line.
type options struct {
	dir  string
	keep bool
	net  string
}

// sandbox sets everything up, says what to try, and waits for ctx to end.
func sandbox(ctx context.Context, opts options, out io.Writer) (err error) {
	dir, remove, err := directory(opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	plan := newPlan(opts.net, dir)
	etcd, err := devetcd.Start(devetcd.Options{Dir: filepath.Join(dir, "etcd"), Listen: plan.etcd})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, etcd.Close()) }()
	if err := seed(ctx, plan); err != nil {
		return fmt.Errorf("store the toy servers: %w", err)
	}
	toys, err := startToys(plan)
	if err != nil {
		return err
	}
	defer toys.close()
	if err := plan.write(toys.controlURL()); err != nil {
		return err
	}
	// The first part that fails ends the whole.
	group, ctx := errgroup.WithContext(ctx)
	for _, b := range plan.balancers {
		group.Go(func() error { return balance(ctx, b) })
	}
	group.Go(func() error {
		if err := settled(ctx, plan); err != nil {
			return err
		}
		fmt.Fprint(out, plan.banner())
		return nil
	})
	return group.Wait()
}

// directory returns the directory to use and how to leave it.
func directory(opts options) (dir string, remove func() error, err error) {
	remove = func() error { return nil }
	if opts.dir != "" {
		dir, err = filepath.Abs(opts.dir)
		if err == nil {
			_, missing := os.Stat(dir)
			if err = os.MkdirAll(dir, 0o755); missing != nil && !opts.keep {
				remove = func() error { return os.RemoveAll(dir) }
			}
		}
		return dir, remove, err
	}
	dir, err = os.MkdirTemp("", "sluice-sandbox-")
	if !opts.keep {
		remove = func() error { return os.RemoveAll(dir) }
	}
	return dir, remove, err
}

// seed stores the toy servers, pooled; what is stored already stays.
func seed(ctx context.Context, p plan) error {
	store, err := state.Open(state.Config{Endpoints: []string{"http://" + p.etcd}})
	if err != nil {
		return err
	}
	defer store.Close()
	node := objects.Node()
	var muts []state.Mutation
	for _, t := range p.toys {
		muts = append(muts, state.Mutation{
			Verb:   state.Create,
			Object: objects.Object{Type: node, Key: objects.Key{Tags: toyTags, Name: t.host}},
			Set:    []objects.Setting{{Field: "weight", Value: 10}, {Field: "pooled", Value: "yes"}},
		})
	}
	_, err = store.Update(ctx, state.Audit{User: "sandbox", Host: "localhost", Command: []string{"sandbox"}}, muts)
	return err
}

// balance runs one balancer, with its log in a file.
func balance(ctx context.Context, b toyBalancer) error {
	config, err := lbd.ReadConfig(b.conf, health.Validate)
	if err != nil {
		return err
	}
	file, err := os.Create(b.log)
	if err != nil {
		return fmt.Errorf("balancer log: %w", err)
	}
	defer file.Close()
	log := slog.New(slog.NewTextHandler(file, nil))
	if err := lbd.Run(ctx, lbd.Options{Config: config, Log: log, Ops: file}); err != nil {
		return fmt.Errorf("balancer %s: %w", b.name, err)
	}
	return nil
}

// settleTimeout bounds the wait for all to be up.
const settleTimeout = 30 * time.Second

// settled returns when both balancers report every toy server up and pooled,
// unless an earlier run kept some of them out.
func settled(ctx context.Context, p plan) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	for _, b := range p.balancers {
		client, err := lbstatus.New("http://" + b.status)
		if err != nil {
			return err
		}
		for {
			r, err := client.Report(ctx, p.pool, 1, time.Second)
			if err == nil && serving(r) {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("balancer %s: not ready: %w", b.name, errors.Join(ctx.Err(), err))
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return nil
}

// serving tells whether every enabled server is up and pooled.
func serving(r lbstatus.Report) bool {
	for _, m := range r.Members {
		if m.Enabled && !(m.Up == lbstatus.UpYes && m.Pooled) {
			return false
		}
	}
	return r.Applied > 0
}
