package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sluice-lb/sluice/pkg/objects"
)

// shownOfPlan is how many lines of each kind of a plan a question shows.
const shownOfPlan = 20

// asks tells whether select has to ask before it writes: when several objects
// are selected, unless --host was given and they all have one name.
func (c *confctl) asks(list []objects.Object) bool {
	names := make(map[string]bool)
	for _, o := range list {
		names[o.Key.Name] = true
	}
	return len(list) > 1 && !(c.host && len(names) <= 1)
}

// confirm shows the plan on stderr and asks, as conftool does, on stdout. Only
// "y" goes on; it may come through a pipe.
func (c *confctl) confirm(ctx context.Context, list []objects.Object, p plan) error {
	selected := make(map[string][]string)
	for _, o := range list {
		selected["/"+o.Key.Tags] = append(selected["/"+o.Key.Tags], o.Key.Name)
	}
	shown, err := c.show(selected)
	if err != nil {
		return err
	}
	c.showPlan(p)
	fmt.Fprintf(c.env.Stdout, "The selectors you chose pick the following %d objects:\n%s\nGo on? [y/N]\nconfctl>", len(list), shown)
	answer, err := c.readLine(ctx)
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if !strings.EqualFold(answer, "y") {
		return c.abort()
	}
	return nil
}

// showPlan shows the plan on stderr, without the balancers that are silent: the
// guard names those before it lets the change pass.
func (c *confctl) showPlan(p plan) {
	p.guard.silent = nil
	p.print(c.env.Stderr, shownOfPlan)
}

// sure is what conftool wants typed before a whole directory is written.
const sure = "Yes, I am sure of what I am doing."

// confirmAll asks before tags mode writes to all or half of a directory's
// objects: only at a terminal, and only for the whole phrase.
func (c *confctl) confirmAll(ctx context.Context, where string, n, total int, p plan) error {
	if !c.env.interactive() {
		return fmt.Errorf("%d of %d objects in %s would be changed: that can only be confirmed at a terminal", n, total, where)
	}
	c.showPlan(p)
	fmt.Fprintf(c.env.Stdout, "You are about to change %d of the %d objects in %s.\nIf that is what you want, type %q\nconfctl>", n, total, where, sure)
	answer, err := c.readLine(ctx)
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if answer != sure {
		return c.abort()
	}
	return nil
}

func (c *confctl) abort() error {
	fmt.Fprintln(c.env.Stdout, "Aborting")
	return withExit(exitFailure, nil)
}

// show lists what is selected, by tags.
func (c *confctl) show(selected map[string][]string) (string, error) {
	if c.yaml {
		out, err := yaml.Marshal(selected)
		return strings.TrimSuffix(string(out), "\n"), err
	}
	out, err := objects.Encode(selected)
	return string(out), err
}

// readLine reads one line of stdin, without its end. It gives up with the
// context: the reading goroutine then stays behind until the process ends.
func (c *confctl) readLine(ctx context.Context) (string, error) {
	type result struct {
		line string
		err  error
	}
	read := make(chan result, 1)
	go func() {
		line, err := c.stdin.ReadString('\n')
		if line != "" && errors.Is(err, io.EOF) {
			err = nil
		}
		read <- result{strings.TrimRight(line, "\r\n"), err}
	}()
	select {
	case got := <-read:
		if errors.Is(got.err, io.EOF) {
			return "", errors.New("stdin is at its end, nothing changed")
		}
		return got.line, got.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
