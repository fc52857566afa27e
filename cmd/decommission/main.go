// Command decommission makes this host inactive: no pool lists it any more.
package main

import (
	"os"

	"github.com/sluice-lb/sluice/internal/cli"
)

func main() { os.Exit(cli.Main(cli.Decommission)) }
