package lbd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sluice-lb/sluice/internal/health"
	"github.com/sluice-lb/sluice/internal/sdnotify"
)

// Env is what the program gets from outside.
type Env struct {
	Args   []string
	Stdout io.Writer
	Stderr io.Writer
	Getenv func(string) string
}

// Exit codes of lbd.
const (
	exitOK      = 0 // stopped by a signal, or the configuration is good
	exitFailure = 1 // could not start, or could not go on
	exitUsage   = 2 // the command line
)

// defaultConfig is where PyBal's configuration lives.
const defaultConfig = "/etc/pybal/pybal.conf"

// usageError is an error in the command line itself.
type usageError struct{ error }

// Main is the program lbd.
func Main(ctx context.Context, env Env) int {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	cmd := command(env)
	cmd.SetArgs(env.Args)
	cmd.SetOut(env.Stdout)
	cmd.SetErr(env.Stderr)
	err := cmd.ExecuteContext(ctx)
	var usage usageError
	var check checked
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &check):
		return int(check.status)
	case errors.As(err, &usage):
		complain(env, err.Error())
		fmt.Fprintln(env.Stderr, "Run 'lbd --help' for usage.")
		return exitUsage
	}
	complain(env, err.Error())
	return exitFailure
}

// oneByOne takes joined errors apart: each is one line.
func oneByOne(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, oneByOne(e)...)
		}
		return all
	}
	return []error{err}
}

func command(env Env) *cobra.Command {
	var (
		config, plane string
		dryRun, debug bool
	)
	cmd := &cobra.Command{
		Use:   "lbd",
		Short: "balance services over the servers their pools declare",
		Long: `lbd reads a configuration in PyBal's form, follows the pools it names, checks
their servers' health, keeps the forwarding plane's table as decided, and serves
its status over HTTP in PyBal's dialect and under /v1/. SIGHUP makes it read the
configuration again; SIGTERM and SIGINT stop it, and the table stays.

The exit code is 0 after a signal, 1 where it could not start or go on, 2 for an
error in the command line.`,
		Example: `  lbd --config /etc/pybal/pybal.conf
  lbd --config pybal.conf --plane userspace
  lbd check-config pybal.conf`,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dryRun {
				plane = string(PlaneDryRun)
			}
			return runConfig(cmd.Context(), env, config, Plane(plane), debug)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&config, "config", "c", defaultConfig, "configuration file")
	flags.StringVar(&plane, "plane", "", "forwarding plane, over the configuration's: ipvs, userspace or dry-run")
	flags.BoolVarP(&dryRun, "dryrun", "n", false, "same as --plane dry-run")
	flags.BoolVarP(&debug, "debug", "d", false, "log more")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	cmd.Args = usageArgs(cobra.NoArgs)
	cmd.AddCommand(checkCommand(), checksCommand())
	return cmd
}

func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}

// Program returns the command of lbd, with all that is below it, as --help
// shows it. It is for reading, not for running.
func Program() *cobra.Command { return command(Env{}) }

func checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "check-config FILE",
		Short:   "say everything that is wrong with a configuration",
		Long:    "Say everything that is wrong with a configuration, each with its line, and the options nobody looks at.",
		Example: "  lbd check-config /etc/pybal/pybal.conf",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := ReadConfig(args[0], health.Validate)
			if err != nil {
				return err
			}
			for _, option := range config.Ignored {
				fmt.Fprintf(cmd.OutOrStdout(), "ignored: %s\n", option)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: no errors, services: %d\n", args[0], len(config.Services))
			return nil
		},
	}
}

func runConfig(ctx context.Context, env Env, path string, override Plane, debug bool) error {
	if override != "" && !slices.Contains([]Plane{PlaneIPVS, PlaneUserspace, PlaneDryRun}, override) {
		return usageError{fmt.Errorf("no plane of kind %q: want ipvs, userspace or dry-run", override)}
	}
	manager, err := sdnotify.FromEnvironment()
	log := logger(env, debug)
	if err != nil {
		log.Warn("service manager not understood", "err", err)
	}
	// What systemd made for StateDirectory=; of several, the first.
	stateDir, _, _ := strings.Cut(env.Getenv("STATE_DIRECTORY"), ":")
	file := &configFile{path: path, plane: override, stateDir: stateDir}
	config, err := file.read()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	reload, forwarded := reloads(ctx, file, config.Global.ReloadOnChange, log)
	defer forwarded()
	defer cancel()
	return Run(ctx, Options{
		Config: config, Log: log, Ops: env.Stdout, Manager: manager, Reload: reload, Read: file.read,
	})
}

// reloads asks for a reload on every SIGHUP and, if told to watch, whenever the
// file is another one, until ctx ends; wait returns when nobody asks any more.
func reloads(ctx context.Context, file *configFile, watch bool, log *slog.Logger) (asked <-chan string, wait func()) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	ask := make(chan string)
	var asking sync.WaitGroup
	asking.Go(func() {
		defer signal.Stop(hup)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hup:
			}
			select {
			case ask <- "SIGHUP":
			case <-ctx.Done():
			}
		}
	})
	if watch {
		asking.Go(func() { file.watch(ctx, log, ask) })
	}
	return ask, asking.Wait
}
