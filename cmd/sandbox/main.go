// Command sandbox runs the whole system in one process on loopback: an embedded
// etcd, toy servers, and two balancers that really carry traffic.
package main

import (
	"context"
	"os"
	"path/filepath"
)

func main() {
	if filepath.Base(os.Args[0]) == controlProgram {
		os.Exit(control(os.Args, os.Stdout, os.Stderr))
	}
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}
