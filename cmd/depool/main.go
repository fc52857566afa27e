// Command depool takes this host out of service: all its services, or the one named.
package main

import (
	"os"

	"github.com/sluice-lb/sluice/internal/cli"
)

func main() { os.Exit(cli.Main(cli.Depool)) }
