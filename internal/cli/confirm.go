package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sluice-lb/sluice/pkg/objects"
)

// confirm asks before several objects are changed, unless --host was given and
// they all have one name. Only "y" goes on; it may come through a pipe.
func (c *confctl) confirm(ctx context.Context, list []objects.Object) error {
	names := make(map[string]bool)
	selected := make(map[string][]string)
	for _, o := range list {
		names[o.Key.Name] = true
		selected["/"+o.Key.Tags] = append(selected["/"+o.Key.Tags], o.Key.Name)
	}
	if len(list) <= 1 || c.host && len(names) <= 1 {
		return nil
	}
	shown, err := c.show(selected)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.env.Stdout, "The selectors you chose pick the following %d objects:\n%s\nGo on? [y/N]\nconfctl>", len(list), shown)
	answer, err := readLine(ctx, c.env.Stdin)
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if !strings.EqualFold(answer, "y") {
		fmt.Fprintln(c.env.Stdout, "Aborting")
		return withExit(exitFailure, nil)
	}
	return nil
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

// readLine reads one line, without its end. It gives up with the context: the
// reading goroutine then stays behind until the process ends.
func readLine(ctx context.Context, r io.Reader) (string, error) {
	type result struct {
		line string
		err  error
	}
	read := make(chan result, 1)
	go func() {
		line, err := bufio.NewReader(r).ReadString('\n')
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
