// Command restart-service depools a host, restarts services on it and pools it
// again, each step confirmed by every load balancer.
package main

import (
	"os"

	"github.com/sluice-lb/sluice/internal/cli"
)

func main() { os.Exit(cli.Main(cli.RestartService)) }
