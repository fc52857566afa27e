package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

const selectHelp = `Act on the objects that match every term of the selector, TAG=REGEX[,TAG=REGEX…].

TAG is one of the type's tags (for nodes dc, cluster and service), name, or one
of its fields. Each expression matches the whole value; TAG!=REGEX is what does
not match. A comma inside parentheses, brackets or quotation marks belongs to
the expression.

Actions:
    get                          show the objects
    set/FIELD=VALUE[:FIELD=…]    change fields
    set/@FILE                    change fields to those of a YAML file
    edit                         edit the objects in $EDITOR
    delete                       delete the objects`

const selectExamples = `  confctl select name=mw1001 get
  confctl select dc=eqiad,service=https,pooled!=yes get -o table
  confctl select 'name=cp10(01|02),service=https' set/pooled=no --dry-run
  confctl --host select name=cp1001 set/pooled=no:weight=5
  confctl select 'name=cp1001.*' set/pooled=yes --wait=1m`

func (c *confctl) selectCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "select SELECTOR ACTION",
		Short:   "Act on the objects that match TAG=REGEX[,TAG=REGEX…]",
		Long:    selectHelp,
		Example: selectExamples,
		Args:    exactly("SELECTOR", "ACTION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.selectAct(cmd.Context(), args[0], args[1])
		},
		ValidArgsFunction: c.complete(completeSelect),
	}
	c.writeFlags.add(cmd)
	c.outputFlag(cmd.Flags())
	return cmd
}

func (c *confctl) selectAct(ctx context.Context, selector, text string) error {
	s, t, err := c.open()
	if err != nil {
		return err
	}
	defer s.close()
	sel, err := t.ParseSelector(selector)
	if err != nil {
		return oneLine{err}
	}
	act, err := parseAction(t, text)
	if err != nil {
		return oneLine{err}
	}
	found, err := s.store.List(ctx, t, sel)
	if err != nil {
		return err
	}
	c.log().Debug("listed", "type", t.Name, "objects", len(found.Objects), "revision", found.Revision)
	warnStray(c.env, t, found.Stray)
	for _, err := range found.Malformed {
		fmt.Fprintf(c.env.Stderr, "confctl: %v\n", oneLine{err})
	}
	job := task{action: text, selector: selector, left: len(found.Malformed) > 0}
	switch {
	case act.verb == "get":
		return errors.Join(c.printObjects(t, found.Objects), job.outcome(nil))
	case len(found.Objects) == 0:
		fmt.Fprintf(c.env.Stderr, "no objects match %s\n", selector)
		return job.outcome(nil)
	}
	if c.asks(found.Objects) {
		job.ask = func(ctx context.Context, p plan) error { return c.confirm(ctx, found.Objects, p) }
	}
	return c.act(ctx, s, found.Objects, act, job)
}

// act carries an action out that writes.
func (c *confctl) act(ctx context.Context, s *session, list []objects.Object, act action, job task) error {
	if act.verb == "edit" {
		return c.edit(ctx, s, list, job)
	}
	muts, left := c.mutations(list, act)
	job.muts, job.left = muts, job.left || left
	if len(muts) == 0 {
		return job.outcome(nil)
	}
	return c.write(ctx, s, job)
}

// action is what select does with each object.
type action struct {
	verb string // "get", "set", "edit" or "delete"
	set  []objects.Setting
	// memory is for the verbs that put a weight away or give it back.
	memory state.Memory
}

// mutation returns what the action does to an object.
func (a action) mutation(o objects.Object) state.Mutation {
	if a.verb == "delete" {
		return state.Mutation{Verb: state.Delete, Object: o}
	}
	return state.Mutation{Verb: state.Patch, Object: o, Set: a.set, Memory: a.memory}
}

// parseAction reads an action: the verb is what stands before the first "/".
func parseAction(t *objects.Type, text string) (action, error) {
	verb, rest, _ := strings.Cut(text, "/")
	a := action{verb: verb}
	var err error
	switch verb {
	case "get":
	case "delete", "edit":
		if text != verb {
			return a, unknownAction(text)
		}
	case "set":
		a.set, err = parseSet(t, rest)
	default:
		return a, unknownAction(text)
	}
	return a, err
}

// unknownAction is the error of an action nobody knows, in conftool's words.
type unknownAction string

func (e unknownAction) Error() string { return "Could not parse action " + string(e) }

// parseSet reads the fields of a set action, or the file that holds them.
func parseSet(t *objects.Type, text string) ([]objects.Setting, error) {
	file, ok := strings.CutPrefix(text, "@")
	if !ok {
		return t.ParseSettings(text)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, readError("settings", file, err)
	}
	set, err := t.ParseSettingsFile(data, file)
	if err != nil {
		return nil, fmt.Errorf("read settings %w", err)
	}
	if len(set) == 0 {
		return nil, fmt.Errorf("read settings %s: no fields", file)
	}
	return set, nil
}
