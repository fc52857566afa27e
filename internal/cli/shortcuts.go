package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// verb is one of the four things done to a whole host.
type verb struct {
	name  string
	doing string // as announced: "Pooling"
	set   objects.Setting
	short string
	// memory is what becomes of a weight: drain puts it away, pool gives it back.
	memory state.Memory
}

func verbs() []verb {
	return []verb{
		{"pool", "Pooling", objects.Setting{Field: "pooled", Value: "yes"}, "Put a host into service", state.Recall},
		{"depool", "Depooling", objects.Setting{Field: "pooled", Value: "no"}, "Take a host out of service", state.Forget},
		{"drain", "Draining", objects.Setting{Field: "weight", Value: 0}, "Give a host no new connections", state.Remember},
		{"decommission", "Decommissioning", objects.Setting{Field: "pooled", Value: "inactive"}, "Remove a host from its pools", state.Forget},
	}
}

// Pool sets pooled=yes on the services of this host, or on the one named.
func Pool(ctx context.Context, env Env) int { return shortcut(ctx, env, verbs()[0]) }

// Depool sets pooled=no on the services of this host, or on the one named.
func Depool(ctx context.Context, env Env) int { return shortcut(ctx, env, verbs()[1]) }

// Drain sets weight=0 on the services of this host, or on the one named.
func Drain(ctx context.Context, env Env) int { return shortcut(ctx, env, verbs()[2]) }

// Decommission sets pooled=inactive on the services of this host, or on the
// one named.
func Decommission(ctx context.Context, env Env) int { return shortcut(ctx, env, verbs()[3]) }

// hostTags returns the selector's terms for a host; empty ones are left out.
func hostTags(dc, service, host string) map[string]string {
	tags := map[string]string{"name": host}
	if dc != "" {
		tags["dc"] = dc
	}
	if service != "" {
		tags["service"] = service
	}
	return tags
}

// verbCommand is confctl's own pool, depool, drain and decommission. Like
// conftool's they act whatever the state before, and never ask; unlike
// conftool's they take the host and the service literally.
func (c *confctl) verbCommand(v verb) *cobra.Command {
	var host, service string
	cmd := &cobra.Command{
		Use:     v.name + " [--hostname HOST] [--service SERVICE]",
		Short:   v.short,
		Long:    v.short + ": all its services, or the one named, as field " + v.set.Field + ".",
		Example: "  confctl " + v.name + "\n  confctl " + v.name + " --hostname cp1001.eqiad.wmnet --service https --wait",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.verbAct(cmd.Context(), v, host, service)
		},
	}
	c.writeFlags.add(cmd)
	c.verifyFlag(cmd)
	cmd.Flags().StringVar(&host, "hostname", "", "`HOST` to act on; this one unless given")
	cmd.Flags().StringVar(&service, "service", "", "`SERVICE` to act on; all of the host's unless given")
	c.suggest(cmd, "hostname", completeHosts)
	c.suggest(cmd, "service", completeServices)
	return cmd
}

func (c *confctl) verbAct(ctx context.Context, v verb, host, service string) error {
	if c.objectType != "node" {
		return fmt.Errorf("%s can only act on node objects", v.name)
	}
	host, err := hostOr(c.env, host)
	if err != nil {
		return err
	}
	s, t, err := c.open()
	if err != nil {
		return err
	}
	defer s.close()
	sel, err := t.SelectExact(hostTags("", service, host))
	if err != nil {
		return err
	}
	announced := "name=" + host
	if service != "" {
		announced += ",service=" + service
	}
	found, err := s.store.List(ctx, t, sel)
	if err != nil {
		return err
	}
	warnStray(c.env, t, found.Stray)
	if len(found.Objects) == 0 {
		fmt.Fprintf(c.env.Stderr, "no objects match %s\n", sel)
		return nil
	}
	return c.act(ctx, s, found.Objects, action{verb: "set", set: []objects.Setting{v.set}, memory: v.memory}, task{
		action: fmt.Sprintf("set/%s=%v", v.set.Field, v.set.Value), selector: announced,
	})
}

func hostOr(env Env, host string) (string, error) {
	if host != "" {
		return host, nil
	}
	host, err := env.Hostname()
	if err != nil {
		return "", fmt.Errorf("find host name: %w", err)
	}
	return host, nil
}

// onHost is one run of a shortcut program.
type onHost struct {
	env     Env
	verb    verb
	cmd     *cobra.Command
	host    string
	dc      string
	service string
	writeFlags
}

// shortcut is the program of one verb: pool [SERVICE].
func shortcut(ctx context.Context, env Env, v verb) int {
	return execute(ctx, env, (&onHost{env: env, verb: v}).command())
}

func (h *onHost) command() *cobra.Command {
	v := h.verb
	h.cmd = &cobra.Command{
		Use:     v.name + " [SERVICE]",
		Short:   v.short,
		Long:    v.short + ": all its services, or the one named.",
		Example: "  " + v.name + "\n  " + v.name + " https --wait",
		Args:    cobra.MaximumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return h.run(cmd.Context(), args) },
	}
	flags := h.cmd.Flags()
	configFlags(flags)
	flags.StringVar(&h.host, "hostname", "", "`HOST` to act on; this one unless given")
	flags.StringVar(&h.dc, "dc", "", "only the host's services in this datacenter")
	flags.BoolVar(&h.force, "force", false, "act on services that are inactive, too, and where too few healthy servers would be left")
	h.writeFlags.add(h.cmd)
	h.verifyFlag(h.cmd)
	flags.Bool("quiet", false, "announce nothing; nothing is announced anyway, this is for scripts")
	return h.cmd
}

func (h *onHost) run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		h.service = strings.ReplaceAll(args[0], "service=", "")
	}
	if strings.Contains(h.service, "=") {
		fmt.Fprintln(h.env.Stdout, "Selection of any tag other than 'service' is not allowed")
		return withExit(exitBadTag, nil)
	}
	var err error
	if h.host, err = hostOr(h.env, h.host); err != nil {
		return err
	}
	s, err := openSession(h.env, h.cmd.Flags(), h.verb.name, h.reason)
	if err != nil {
		return err
	}
	defer s.close()
	list, err := h.list(ctx, s)
	if err != nil {
		return err
	}
	muts, err := h.plan(ctx, s.store, list)
	if err != nil {
		return err
	}
	if h.dryRun {
		return s.dryRun(ctx, h.env, muts, h.care)
	}
	if err := h.before(ctx, h.env, s, muts); err != nil {
		return err
	}
	fmt.Fprintf(h.env.Stdout, "%s %s on %s\n", h.verb.doing, h.what(), h.host)
	change, err := s.store.Update(ctx, s.audit, muts)
	printChange(h.env.Stdout, change)
	if err != nil {
		return err
	}
	return h.after(ctx, h.env, s, change)
}

// what names the services acted on.
func (h *onHost) what() string {
	if h.service == "" {
		return "all services"
	}
	return h.service
}

// list returns the host's objects; that there are none is an error.
func (h *onHost) list(ctx context.Context, s *session) ([]objects.Object, error) {
	node, err := s.typeNamed("node")
	if err != nil {
		return nil, err
	}
	sel, err := node.SelectExact(hostTags(h.dc, h.service, h.host))
	if err != nil {
		return nil, err
	}
	found, err := s.store.List(ctx, node, sel)
	if err != nil {
		return nil, err
	}
	warnStray(h.env, node, found.Stray)
	if len(found.Objects) == 0 {
		fmt.Fprintln(h.env.Stderr, "No objects match")
		return nil, withExit(exitNoMatch, nil)
	}
	return found.Objects, nil
}

// plan decides what is done to each object, or refuses all of it.
func (h *onHost) plan(ctx context.Context, store *state.Store, list []objects.Object) ([]state.Mutation, error) {
	all := make([]state.Mutation, len(list))
	for i, o := range list {
		all[i] = state.Mutation{Object: o, Set: []objects.Setting{h.verb.set}, Memory: h.verb.memory}
	}
	all, err := store.Recall(ctx, all)
	if err != nil {
		return nil, err
	}
	var muts []state.Mutation
	for _, m := range all {
		act, err := h.acts(m)
		if err != nil {
			return nil, err
		}
		if act {
			muts = append(muts, m)
		}
	}
	return muts, nil
}

// acts tells whether the verb applies to an object. Nothing with weight 0 is
// pooled, since it would get no traffic while it looks as if it did, unless it
// was drained and gets its weight back; nothing inactive is pooled or depooled
// by the way.
func (h *onHost) acts(m state.Mutation) (bool, error) {
	o := m.Object
	value, err := objects.ParseNode(o.Raw)
	if err != nil {
		return false, oneLine{fmt.Errorf("%s: %w", o.Key, err)}
	}
	switch h.verb.name {
	case "pool":
		if value.Pooled == "inactive" && !h.force {
			return false, withExit(exitUsage, fmt.Errorf("%s is inactive: nothing pooled (--force pools it)", o.Key))
		}
		restored := len(m.Set) > 1
		if value.Pooled != "yes" && value.Weight == 0 && !restored {
			fmt.Fprintln(h.env.Stdout, "You cannot pool a node where weight is equal to 0")
			return false, withExit(exitUsage, nil)
		}
	case "depool":
		if value.Pooled == "inactive" && !h.force {
			fmt.Fprintf(h.env.Stderr, "%s is inactive: left alone (--force depools it)\n", o.Key)
			return false, nil
		}
	}
	return true, nil
}
