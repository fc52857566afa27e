// Command manpages writes the manual page of every command into a directory,
// from the same source as --help: manpages DIR.
package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/sluice-lb/sluice/internal/cli"
	"github.com/sluice-lb/sluice/internal/lbd"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: manpages DIR")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "manpages: %v\n", err)
		os.Exit(1)
	}
}

// write writes DIR/PROGRAM.1 and DIR/PROGRAM-COMMAND.1. Their date is that of
// SOURCE_DATE_EPOCH, if set: the same source then makes the same pages.
func write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	header := &doc.GenManHeader{Section: "1", Source: "Sluice", Manual: "Sluice"}
	for _, program := range slices.Concat(cli.Programs(), []*cobra.Command{lbd.Program()}) {
		program.DisableAutoGenTag = true
		if err := doc.GenManTree(program, header, dir); err != nil {
			return fmt.Errorf("write pages of %s: %w", program.Name(), err)
		}
	}
	return nil
}
