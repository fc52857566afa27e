package cli

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/sluice-lb/sluice/pkg/objects"
)

const tagsHelp = `Act on objects in one place, given by all the tags of the type: conftool's first
way to name objects. The tags are literal.

NAME is one object's name, re:REGEX the objects whose names begin so, or all.
Several actions are carried out one after the other, also where one fails.
"get all" prints the whole place as one JSON object (YAML with --yaml).`

const tagsExamples = `  confctl tags dc=eqiad,cluster=cache_text,service=https --action get all
  confctl tags dc=eqiad,cluster=cache_text,service=https --action set/pooled=no cp1001 --action get cp1001`

func (c *confctl) tagsCommand() *cobra.Command {
	var actions actionPairs
	one := exactly("TAGS")
	cmd := &cobra.Command{
		Use:     "tags TAG=VALUE[,TAG=VALUE…] --action ACTION NAME [--action ACTION NAME…]",
		Short:   "Act on objects by all their tags and name",
		Long:    tagsHelp,
		Example: tagsExamples,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(actions) == 0 {
				return errors.New("no --action given")
			}
			return one(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error { return c.tags(cmd.Context(), args[0], actions) },
	}
	cmd.Flags().Var(&actions, "action", "`ACTION NAME`: what to do with which objects; may be given several times")
	c.writeFlags.add(cmd)
	c.outputFlag(cmd.Flags())
	return cmd
}

// actionPairs is the flag --action: pairs of an action and a name.
type actionPairs [][2]string

// String is of no use to a flag that has no default.
func (p *actionPairs) String() string { return "" }

// Type names the value in usage texts.
func (p *actionPairs) Type() string { return "ACTION NAME" }

// Set takes one pair, joined by pairMark.
func (p *actionPairs) Set(value string) error {
	action, name, ok := strings.Cut(value, pairMark)
	if !ok {
		return errors.New("want two values: ACTION NAME")
	}
	*p = append(*p, [2]string{action, name})
	return nil
}

// directory is what a tags command acts on.
type directory struct {
	*session
	t     *objects.Type
	tags  map[string]string
	typed []string // the tags as typed
	path  string   // "eqiad/cache_text/https"
}

// tags carries out the actions one by one, and fails if any of them did.
func (c *confctl) tags(ctx context.Context, text string, actions actionPairs) error {
	s, t, err := c.open()
	if err != nil {
		return err
	}
	defer s.close()
	at, err := newDirectory(s, t, text)
	if err != nil {
		return err
	}
	code := exitOK
	for _, a := range actions {
		err := c.tagsAct(ctx, at, a[0], a[1])
		if failed := finish("confctl", c.env.Stderr, err); code == exitOK {
			code = failed
		}
		if ctx.Err() != nil {
			break
		}
	}
	if code != exitOK {
		return withExit(code, nil)
	}
	return nil
}

// newDirectory reads the tags. All of the type's must be there; others are ignored,
// as in conftool.
func newDirectory(s *session, t *objects.Type, text string) (*directory, error) {
	at := &directory{session: s, t: t, tags: make(map[string]string), typed: strings.Split(text, ",")}
	given := make(map[string]string)
	for _, term := range at.typed {
		tag, value, ok := strings.Cut(term, "=")
		if !ok || strings.Contains(value, "=") {
			return nil, fmt.Errorf("tags %q: %q: want TAG=VALUE", text, term)
		}
		given[strings.TrimSpace(tag)] = strings.TrimSpace(value)
	}
	var parts []string
	for _, tag := range t.Tags {
		if given[tag] == "" {
			return nil, fmt.Errorf("tags %q: no %s: type %s wants %s", text, tag, t.Name, strings.Join(t.Tags, ", "))
		}
		at.tags[tag] = given[tag]
		parts = append(parts, given[tag])
	}
	at.path = strings.Join(parts, "/")
	return at, nil
}

// tagsAct carries out one action.
func (c *confctl) tagsAct(ctx context.Context, at *directory, text, name string) error {
	act, err := parseAction(at.t, text)
	if err != nil {
		return oneLine{err}
	}
	chosen, total, err := at.find(ctx, c, name)
	if err != nil {
		return err
	}
	several := name == "all" || strings.HasPrefix(name, "re:")
	if act.verb == "get" {
		return c.tagsGet(at, chosen, text, name)
	}
	switch {
	case len(chosen) == 0 && several:
		fmt.Fprintf(c.env.Stderr, "no objects in %s match %s\n", at.path, name)
		return nil
	case len(chosen) == 0:
		return fmt.Errorf("Entity %s doesn't exist", objects.Key{Tags: at.path, Name: name}) // conftool's words
	}
	job := task{action: text, selector: fmt.Sprintf("%s (tags: ['%s'])", name, strings.Join(at.typed, "', '"))}
	if several && act.verb != "edit" && (name == "all" || total <= 2*len(chosen)) {
		job.ask = func(ctx context.Context, p plan) error {
			return c.confirmAll(ctx, at.path, len(chosen), total, p)
		}
	}
	return c.act(ctx, at.session, chosen, act, job)
}

// tagsGet shows objects. "get all" is special in conftool: one JSON object of
// everything that is stored.
func (c *confctl) tagsGet(at *directory, chosen []objects.Object, text, name string) error {
	switch {
	case text == "get" && name == "all" && c.output == "":
		return c.printDirectory(chosen)
	case len(chosen) == 0 && !strings.HasPrefix(name, "re:"):
		fmt.Fprintf(c.env.Stdout, "%s not found\n", name)
		return withExit(exitFailure, nil)
	}
	return c.printObjects(at.t, chosen)
}

// find returns the objects of the place that name stands for, and how many
// there are in all. A place without any is an error unless one is named.
func (at *directory) find(ctx context.Context, c *confctl, name string) (chosen []objects.Object, total int, err error) {
	tags, fits := at.tags, func(string) bool { return true }
	expr, re := strings.CutPrefix(name, "re:")
	switch {
	case re:
		var pattern *regexp.Regexp
		if pattern, err = objects.ParseNameStart(expr); err != nil {
			return nil, 0, oneLine{err}
		}
		fits = pattern.MatchString
	case name != "all":
		tags = map[string]string{"name": name}
		for tag, value := range at.tags {
			tags[tag] = value
		}
	}
	sel, err := at.t.SelectExact(tags)
	if err != nil {
		return nil, 0, err
	}
	found, err := at.store.List(ctx, at.t, sel)
	if err != nil {
		return nil, 0, err
	}
	warnStray(c.env, at.t, found.Stray)
	total = len(found.Objects)
	if total == 0 && (re || name == "all") {
		return nil, 0, fmt.Errorf("%s: there are no objects of type %s", at.path, at.t.Name)
	}
	return slices.DeleteFunc(found.Objects, func(o objects.Object) bool { return !fits(o.Key.Name) }), total, nil
}

// printDirectory prints objects as stored, as one mapping by name.
func (c *confctl) printDirectory(list []objects.Object) error {
	var text strings.Builder
	top := &yaml.Node{Kind: yaml.MappingNode}
	bad := false
	for _, o := range list {
		raw, err := o.StoredJSON()
		if err != nil {
			fmt.Fprintf(c.env.Stderr, "confctl: %v\n", oneLine{err})
			bad = true
			continue
		}
		name, err := objects.Encode(o.Key.Name)
		if err != nil {
			return err
		}
		if text.Len() > 0 {
			text.WriteString(", ")
		}
		fmt.Fprintf(&text, "%s: %s", name, raw)
		if err := addYAML(top, o.Key.Name, o.StoredYAML); err != nil {
			return err
		}
	}
	if c.yaml {
		out, err := yaml.Marshal(top)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.env.Stdout, "%s", out)
	} else {
		fmt.Fprintf(c.env.Stdout, "{%s}\n", text.String())
	}
	if bad {
		return withExit(exitFailure, nil)
	}
	return nil
}
