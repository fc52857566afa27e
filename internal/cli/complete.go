package cli

import (
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-lb/sluice/pkg/objects"
)

// completionBudget is all the time a shell waits for suggestions.
const completionBudget = 300 * time.Millisecond

// completer suggests how the last word could go on, given those before it.
type completer func(ctx context.Context, s *session, t *objects.Type, cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective)

// complete asks the store for suggestions. Whatever goes wrong, and whatever
// takes too long, suggests nothing and says nothing.
func (c *confctl) complete(suggest completer) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(context.Background(), completionBudget)
		defer cancel()
		quiet := *c
		quiet.env.Stderr = io.Discard
		s, t, err := quiet.open()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer s.close()
		return suggest(ctx, s, t, cmd, args, word)
	}
}

// suggest has the value of a flag completed.
func (c *confctl) suggest(cmd *cobra.Command, flag string, with completer) {
	_ = cmd.RegisterFlagCompletionFunc(flag, c.complete(with)) // fails for flags that are not there
}

// completeSelect completes a selector, then an action.
func completeSelect(ctx context.Context, s *session, t *objects.Type, cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return completeSelector(ctx, s, t, cmd, args, word)
	}
	actions := []string{"get", "edit", "delete"}
	for _, f := range t.Fields {
		actions = append(actions, "set/"+f.Name+"=")
		for _, value := range f.Enum {
			actions = append(actions, "set/"+f.Name+"="+value)
		}
	}
	return starting(actions, word), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// completeSelector completes the last term of a selector: its tag, or its
// value from what the terms before it select.
func completeSelector(ctx context.Context, s *session, t *objects.Type, _ *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	done, last := lastTerm(t, word)
	tag, value, hasValue := strings.Cut(last, "=")
	var words []string
	if hasValue {
		for _, v := range values(ctx, s, t, done, tag) {
			words = append(words, tag+"="+v)
		}
		tag += "=" + value
	} else {
		for _, name := range append(slices.Clone(t.Tags), "name") {
			if !strings.Contains(","+done, ","+name+"=") {
				words = append(words, name+"=")
			}
		}
	}
	words = starting(words, tag)
	if done != "" {
		for i := range words {
			words[i] = done + "," + words[i]
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// lastTerm splits an unfinished selector behind the last comma that ends a
// whole one; the type's own parser knows which commas do.
func lastTerm(t *objects.Type, word string) (done, last string) {
	for i := len(word) - 1; i > 0; i-- {
		if word[i] != ',' {
			continue
		}
		if _, err := t.ParseSelector(word[:i]); err == nil {
			return word[:i], word[i+1:]
		}
	}
	return "", word
}

// values returns the values of a tag among what a selector selects, sorted;
// the empty selector selects all.
func values(ctx context.Context, s *session, t *objects.Type, selector, tag string) []string {
	sel, err := t.SelectExact(nil)
	if selector != "" {
		sel, err = t.ParseSelector(selector)
	}
	if err != nil {
		return nil
	}
	return tagValues(ctx, s, t, sel, tag)
}

func tagValues(ctx context.Context, s *session, t *objects.Type, sel *objects.Selector, tag string) []string {
	keys, err := s.store.Keys(ctx, t, sel)
	if err != nil {
		return nil
	}
	seen := make(map[string]bool)
	for _, k := range keys {
		if v, ok := t.Tag(k, tag); ok {
			seen[v] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// completeHosts completes the name of a host.
func completeHosts(ctx context.Context, s *session, t *objects.Type, _ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	return starting(values(ctx, s, t, "", "name"), word), cobra.ShellCompDirectiveNoFileComp
}

// completeServices completes the name of a service, of the host if one is
// given.
func completeServices(ctx context.Context, s *session, t *objects.Type, cmd *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	tags := map[string]string{}
	if host := cmd.Flags().Lookup("hostname"); host != nil && host.Value.String() != "" {
		tags["name"] = host.Value.String()
	}
	sel, err := t.SelectExact(tags)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return starting(tagValues(ctx, s, t, sel, "service"), word), cobra.ShellCompDirectiveNoFileComp
}

// completeBalancers completes the name of a registered balancer.
func completeBalancers(ctx context.Context, s *session, _ *objects.Type, _ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	m, _ := s.balancers(ctx)
	var names []string
	for _, member := range m.members {
		names = append(names, member.Name)
	}
	return starting(names, word), cobra.ShellCompDirectiveNoFileComp
}

func starting(words []string, with string) []string {
	return slices.DeleteFunc(words, func(w string) bool { return !strings.HasPrefix(w, with) })
}

// completing tells whether cobra is asked for suggestions, in which case the
// words are unfinished ones and are none of conftoolArgs' business.
func completing(args []string) bool {
	return len(args) > 0 && (args[0] == cobra.ShellCompRequestCmd || args[0] == cobra.ShellCompNoDescRequestCmd)
}
