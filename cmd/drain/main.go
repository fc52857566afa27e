// Command drain gives this host weight 0, so that it gets no new connections.
package main

import (
	"os"

	"github.com/sluice-lb/sluice/internal/cli"
)

func main() { os.Exit(cli.Main(cli.Drain)) }
