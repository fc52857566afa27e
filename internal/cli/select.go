package cli

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

func (c *confctl) selectCommand() *cobra.Command {
	var care care
	cmd := &cobra.Command{
		Use:   "select SELECTOR ACTION",
		Short: "Act on the objects that match TAG=REGEX[,TAG=REGEX…]",
		Long: "Act on the objects that match TAG=REGEX[,TAG=REGEX…]; each expression matches the whole value.\n\n" +
			"Actions: get, set/FIELD=VALUE[:FIELD=VALUE…], set/@FILE (YAML), delete.",
		Example: "  confctl select name=cp1001.eqiad.wmnet get\n" +
			"  confctl select 'dc=eqiad,cluster=cache_.*' set/pooled=no:weight=0\n" +
			"  confctl select 'name=cp1001.*' set/pooled=yes --wait=1m",
		Args: exactly("SELECTOR", "ACTION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.selectAct(cmd.Context(), args[0], args[1], care)
		},
		ValidArgsFunction: c.complete(completeSelect),
	}
	care.flags(cmd)
	return cmd
}

func (c *confctl) selectAct(ctx context.Context, selector, text string, care care) error {
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
	if act.verb == "get" {
		return printObjects(c.env, found.Objects)
	}
	if len(found.Objects) == 0 {
		fmt.Fprintf(c.env.Stderr, "no objects match %s\n", selector)
		return nil
	}
	if err := c.confirm(ctx, found.Objects); err != nil {
		return err
	}
	return c.change(ctx, s, found.Objects, act, care)
}

// action is what select does with each object.
type action struct {
	verb string // "get", "set" or "delete"
	set  []objects.Setting
}

// mutation returns what the action does to an object.
func (a action) mutation(o objects.Object) state.Mutation {
	if a.verb == "delete" {
		return state.Mutation{Verb: state.Delete, Object: o}
	}
	return state.Mutation{Verb: state.Patch, Object: o, Set: a.set}
}

// parseAction reads an action: the verb is what stands before the first "/".
func parseAction(t *objects.Type, text string) (action, error) {
	verb, rest, _ := strings.Cut(text, "/")
	a := action{verb: verb}
	var err error
	switch verb {
	case "get":
	case "delete":
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

// change carries out a write on all objects in one update. Objects that are
// not even JSON are named and left out, except by delete.
func (c *confctl) change(ctx context.Context, s *session, list []objects.Object, act action, care care) error {
	var muts []state.Mutation
	var bad bool
	for _, o := range list {
		if _, _, err := o.Patch(nil); err != nil && act.verb != "delete" {
			fmt.Fprintf(c.env.Stderr, "confctl: %v\n", oneLine{err})
			bad = true
			continue
		}
		muts = append(muts, act.mutation(o))
	}
	if act.verb == "set" && list[0].Type.JSONSchema {
		fmt.Fprintf(c.env.Stderr, "warning: the JSON schema of type %s is not evaluated\n", list[0].Type.Name)
	}
	if err := care.before(ctx, c.env, s, muts); err != nil {
		return err
	}
	change, err := s.store.Update(ctx, s.audit, muts)
	printChange(c.env.Stdout, change)
	c.log().Debug("updated", "change", change.ID, "objects", len(change.Objects), "revision", change.Revision)
	switch {
	case err != nil:
		return oneLine{err}
	case bad:
		return withExit(exitFailure, nil)
	}
	return care.after(ctx, c.env, s, change)
}
