package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/sluice-lb/sluice/internal/poolfile"
	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

const exportHelp = `Write all objects of all types, as the store has them at one revision.

As json: one document with every value byte for byte, to stdout or to a FILE that is replaced as a whole. confctl import
reads it back. Two exports of the same objects differ in their first lines only: revision and time.

As tree: a conftool-data tree, DIR/node/DC.yaml and DIR/TYPE/TYPE.yaml. It holds which objects there are, not their values;
confctl sync reads it. A DIR/TYPE with a *.yaml that no export has written is refused; those of an earlier one are replaced
or removed.

The history, remembered weights and balancers are no objects: etcdctl snapshot saves those as well.

Exit codes: 0 written; 1 not, or not all; 2 the command line; 3 the configuration of the store.`

func (c *confctl) exportCommand() *cobra.Command {
	run := exportRun{confctl: c}
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write all objects as one document, or as a conftool-data tree",
		Long:  exportHelp,
		Example: "  confctl export\n" +
			"  confctl export --out /var/backups/sluice.json\n" +
			"  confctl export --format tree --out conftool-data",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return run.run(cmd.Context()) },
	}
	cmd.Flags().StringVar(&run.format, "format", "json", "`FORMAT`: json or tree")
	cmd.Flags().StringVar(&run.out, "out", "", "`FILE` or directory to write to; stdout, for json, unless given")
	return cmd
}

// exportRun is one run of export.
type exportRun struct {
	*confctl
	format, out string
}

func (r *exportRun) run(ctx context.Context) error {
	switch {
	case r.format != "json" && r.format != "tree":
		return withExit(exitUsage, fmt.Errorf("no format %q: want json or tree", r.format))
	case r.format == "tree" && r.out == "":
		return withExit(exitUsage, errors.New("no --out DIR given"))
	}
	s, _, err := r.open()
	if err != nil {
		return err
	}
	defer s.close()
	listings, err := s.store.ListTypes(ctx, s.schema.Types())
	if err != nil {
		return err
	}
	found := 0
	for i, t := range s.schema.Types() {
		warnStray(r.env, t, listings[i].Stray)
		found += len(listings[i].Objects)
	}
	if found == 0 { // a lost store must not replace a good backup
		return fmt.Errorf("the store holds no objects below %s/%s: nothing written", s.config.Namespace, s.config.APIVersion)
	}
	if r.format == "tree" {
		return r.tree(s.schema.Types(), listings)
	}
	return r.document(s, listings)
}

// document writes one document. What is no object, or no JSON, is in it all the
// same; a key that is not UTF-8 cannot be.
func (r *exportRun) document(s *session, listings []state.Listing) error {
	e := objects.Export{
		Namespace: s.config.Namespace, APIVersion: s.config.APIVersion, Revision: listings[0].Revision, Time: time.Now(),
		Objects: make(map[string][]objects.Exported),
	}
	written, left := 0, 0
	for i, t := range s.schema.Types() {
		e.Objects[t.Name] = []objects.Exported{}
		for _, o := range listings[i].Objects {
			if !utf8.ValidString(o.Key.String()) {
				fmt.Fprintf(r.env.Stderr, "confctl: %s: the key is not UTF-8: left out\n", named(o))
				left++
				continue
			}
			if err := o.Check(); err != nil {
				fmt.Fprintf(r.env.Stderr, "warning: %v: exported as it is\n", oneLine{err})
			}
			e.Objects[t.Name] = append(e.Objects[t.Name], objects.Exported{Key: o.Key.String(), Raw: o.Raw})
			written++
		}
	}
	data, err := e.Encode()
	if err == nil {
		err = r.write(data)
	}
	if err != nil {
		return err
	}
	if r.out != "" {
		r.say("%s: %d objects at revision %d\n", r.out, written, e.Revision)
	}
	if left > 0 {
		return withExit(exitFailure, nil)
	}
	return nil
}

func (r *exportRun) write(data []byte) error {
	if r.out == "" {
		if _, err := r.env.Stdout.Write(data); err != nil {
			return fmt.Errorf("write document: %w", err)
		}
		return nil
	}
	_, err := poolfile.Replace(r.out, data)
	return err
}

// say tells what was written.
func (r *exportRun) say(format string, args ...any) {
	if !r.quiet {
		fmt.Fprintf(r.env.Stdout, format, args...)
	}
}

// tree writes a conftool-data tree.
func (r *exportRun) tree(types []*objects.Type, listings []state.Listing) error {
	var files []treeFile
	total := 0
	for i, t := range types {
		some, err := typeFiles(t, listings[i].Objects)
		if err != nil {
			return fmt.Errorf("%w: nothing written", err)
		}
		files = append(files, some...)
		total += len(listings[i].Objects)
	}
	if err := makeDir(r.out); err != nil {
		return err
	}
	dir, err := poolfile.OpenDir(r.out)
	if err != nil {
		return readError("directory", r.out, err)
	}
	defer dir.Close()
	if err := writeTree(dir, types, files); err != nil {
		return oneLine{fmt.Errorf("%s: %w", filepath.Clean(r.out), err)}
	}
	r.say("%s: %d objects in %d files at revision %d\n", r.out, total, len(files), listings[0].Revision)
	return nil
}
