// Command conftool-sync creates and removes objects as a directory of files
// says: confctl sync under conftool's name.
package main

import (
	"os"

	"github.com/sluice-lb/sluice/internal/cli"
)

func main() { os.Exit(cli.Main(cli.ConftoolSync)) }
