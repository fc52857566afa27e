// Command lbd is the balancer.
package main

import (
	"context"
	"os"

	"github.com/sluice-lb/sluice/internal/lbd"
)

func main() {
	os.Exit(lbd.Main(context.Background(), lbd.Env{
		Args: os.Args[1:], Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv,
	}))
}
