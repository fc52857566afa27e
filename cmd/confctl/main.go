// Command confctl shows and changes the state of servers, services and sites in etcd.
package main

import (
	"os"

	"github.com/sluice-lb/sluice/internal/cli"
)

func main() { os.Exit(cli.Main(cli.Confctl)) }
