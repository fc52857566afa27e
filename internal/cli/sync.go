package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// maxRemoved is the share of a type's objects that sync removes unforced.
const maxRemoved = 0.10

func (c *confctl) syncCommand() *cobra.Command {
	var run syncRun
	cmd := &cobra.Command{
		Use:   "sync DIR",
		Short: "Create and remove objects as the files in DIR say",
		Long: "Create the objects that the files DIR/TYPE/*.yaml name, with their type's defaults, and remove those they no " +
			"longer name. What existing objects hold is never touched.",
		Example: "  confctl sync --dry-run conftool-data\n  confctl sync conftool-data",
		Args:    exactly("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			run.confctl, run.dir = c, args[0]
			return run.sync(cmd.Context())
		},
	}
	c.writeFlags.add(cmd.Flags())
	c.waiting.add(cmd.Flags())
	cmd.Flags().Lookup("wait").Usage = "wait until every balancer of the objects created or removed confirms that, at most `TIME` (" + briefly.String() + " unless given)"
	cmd.Flags().Lookup("dry-run").Usage = "only say what would be done"
	cmd.Flags().Lookup("force").Usage = fmt.Sprintf("also remove objects that are pooled, or more than %d %% of a type", int(maxRemoved*100))
	return cmd
}

// syncRun is one run of sync.
type syncRun struct {
	*confctl
	dir    string
	failed bool // something was not done; it has been named
}

func (r *syncRun) sync(ctx context.Context) error {
	if info, err := os.Stat(r.dir); err != nil {
		return withExit(exitUsage, readError("directory", r.dir, err))
	} else if !info.IsDir() {
		return withExit(exitUsage, fmt.Errorf("read directory %s: not a directory", r.dir))
	}
	s, _, err := r.open()
	if err != nil {
		return err
	}
	defer s.close()
	types, err := s.schema.LoadOrder()
	if err != nil {
		return err
	}
	var parts []*syncPart
	for _, t := range types {
		part, err := r.plan(ctx, s.store, t)
		if err != nil {
			return err
		}
		parts = append(parts, part)
	}
	if err := r.carryOut(ctx, s, parts); err != nil {
		return err
	}
	if r.failed {
		return withExit(exitFailure, nil)
	}
	return nil
}

// complain names something that is not done; the command fails in the end.
func (r *syncRun) complain(format string, args ...any) {
	fmt.Fprintf(r.env.Stderr, "confctl: %v\n", oneLine{fmt.Errorf(format, args...)})
	r.failed = true
}

// syncPart is what is to be done with one type.
type syncPart struct {
	t       *objects.Type
	live    int // objects in the store
	create  []objects.Object
	remove  []objects.Object
	present bool // the type has a directory
}

// plan compares a type's files with the store. Files that cannot be read take
// nothing away: what they would have named is not known.
func (r *syncRun) plan(ctx context.Context, store *state.Store, t *objects.Type) (*syncPart, error) {
	all, err := t.SelectExact(nil)
	if err != nil {
		return nil, err
	}
	found, err := store.List(ctx, t, all)
	if err != nil {
		return nil, err
	}
	warnStray(r.env, t, found.Stray)
	wanted, complete, present := r.read(t, len(found.Objects))
	part := &syncPart{t: t, live: len(found.Objects), present: present}
	live := make(map[objects.Key]bool, len(found.Objects))
	for _, o := range found.Objects {
		live[o.Key] = true
		if complete && !wanted[o.Key] {
			part.remove = append(part.remove, o)
		}
	}
	for k := range wanted {
		if !live[k] {
			part.create = append(part.create, objects.Object{Type: t, Key: k})
		}
	}
	slices.SortFunc(part.create, func(a, b objects.Object) int { return a.Key.Compare(b.Key) })
	if !r.force && !part.harmless(r) {
		part.remove = nil
	}
	return part, nil
}

// read returns the keys a type's files name, whether those are all, and whether
// there is a directory at all. A type without one is somebody else's to sync,
// and worth a word only when it has objects.
func (r *syncRun) read(t *objects.Type, live int) (wanted map[objects.Key]bool, complete, present bool) {
	dir := filepath.Join(r.dir, t.Name)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if live > 0 {
			r.complain("%s: no directory %s: nothing removed", t.Name, dir)
		}
		return nil, false, false
	}
	files, err := yamlFiles(dir)
	if err != nil {
		r.complain("%s: %w: nothing removed", t.Name, err)
		return nil, false, true
	}
	wanted, complete = make(map[objects.Key]bool), true
	for _, file := range files {
		keys, err := parseTreeFile(t, file)
		if err != nil {
			r.complain("%s: %w: nothing removed", t.Name, err)
			complete = false
		}
		for _, k := range keys {
			wanted[k] = true
		}
	}
	return wanted, complete, true
}

// yamlFiles returns a directory's *.yaml files. That there are none is an
// error: a tree that was not checked out wants nothing removed.
func yamlFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, readError("directory", dir, err)
	}
	var files []string
	for _, e := range entries {
		if name := e.Name(); filepath.Ext(name) == ".yaml" && name[0] != '.' {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no *.yaml in %s", dir)
	}
	return files, nil
}

func parseTreeFile(t *objects.Type, file string) ([]objects.Key, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, readError("file", file, err)
	}
	return t.ParseTree(data, file)
}

// harmless tells whether what is to be removed may be without --force, and
// complains if not.
func (p *syncPart) harmless(r *syncRun) bool {
	if float64(len(p.remove)) > maxRemoved*float64(p.live) {
		r.complain("%s: %d of %d objects would be removed: nothing removed without --force", p.t.Name, len(p.remove), p.live)
		return false
	}
	for _, o := range p.remove {
		pooled, err := isPooled(o)
		if err != nil {
			r.complain("%w: nothing removed without --force", err)
			return false
		}
		if pooled {
			r.complain("%s %s is pooled: nothing removed without --force", p.t.Name, o.Key)
			return false
		}
	}
	return true
}

// isPooled tells whether an object takes part: pooled is yes, or true.
func isPooled(o objects.Object) (bool, error) {
	if _, ok := o.Type.Field("pooled"); !ok {
		return false, nil
	}
	v, err := o.Value("pooled")
	return v == "yes" || v == true, err
}

// carryOut creates in the order of the types and removes in the reverse one,
// in one update, and says how many of each.
func (r *syncRun) carryOut(ctx context.Context, s *session, parts []*syncPart) error {
	var muts []state.Mutation
	for _, p := range parts {
		for _, o := range p.create {
			muts = append(muts, state.Mutation{Verb: state.Create, Object: o})
		}
	}
	for _, p := range slices.Backward(parts) {
		for _, o := range p.remove {
			muts = append(muts, state.Mutation{Verb: state.Delete, Object: o})
		}
	}
	if r.dryRun {
		r.preview(muts)
		r.summarise(parts, state.Change{}, muts)
		return nil
	}
	change, err := s.store.Update(ctx, s.audit, muts)
	r.summarise(parts, change, muts)
	if err != nil {
		return oneLine{err}
	}
	if !r.waiting.wanted() {
		return nil
	}
	if change, err = s.served(ctx, change); err != nil {
		return err
	}
	return r.waiting.after(ctx, s, change)
}

// served is the part of a change that balancers take up: most of what a tree
// declares is nobody's to confirm.
func (s *session) served(ctx context.Context, change state.Change) (state.Change, error) {
	m, err := s.balancers(ctx)
	if err != nil {
		return change, err
	}
	change.Objects = slices.DeleteFunc(slices.Clone(change.Objects), func(o state.Outcome) bool {
		return !o.Changed || len(m.serving(m.source(o.Object.Type, o.Object.Key))) == 0
	})
	return change, nil
}

// preview names every object a dry run would create or remove.
func (r *syncRun) preview(muts []state.Mutation) {
	for _, m := range muts {
		what := "would create"
		if m.Verb == state.Delete {
			what = "would remove"
		}
		fmt.Fprintf(r.env.Stdout, "%s %s %s\n", what, m.Object.Type.Name, m.Object.Key)
	}
}

// summarise prints one line for every type that has files.
func (r *syncRun) summarise(parts []*syncPart, change state.Change, muts []state.Mutation) {
	created, removed := make(map[*objects.Type]int), make(map[*objects.Type]int)
	for i, m := range muts {
		if !r.dryRun && (i >= len(change.Objects) || !change.Objects[i].Changed) {
			continue
		}
		if m.Verb == state.Create {
			created[m.Object.Type]++
		} else {
			removed[m.Object.Type]++
		}
	}
	format := "%s: %d created, %d removed, %d kept\n"
	if r.dryRun {
		format = "%s: %d to create, %d to remove, %d to keep\n"
	}
	for _, p := range parts {
		if p.present {
			fmt.Fprintf(r.env.Stdout, format, p.t.Name, created[p.t], removed[p.t], p.live-removed[p.t])
		}
	}
}
