package cli

import (
	"context"
	"os/signal"
	"syscall"
)

// Main runs a command in the process's own environment, with a context that
// ends on SIGINT and SIGTERM, and returns its exit code. It is all that a
// program's main calls: os.Exit(cli.Main(cli.Confctl)).
func Main(command func(context.Context, Env) int) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return command(ctx, OS())
}
