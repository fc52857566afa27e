package generate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"
)

// Hook is a command to run, word by word; no shell sees it. nil is none.
type Hook []string

// hookTimeout bounds one run.
const hookTimeout = 30 * time.Second

// ParseHook reads the words of a command: one for each flag, or one flag with
// a YAML list of them. No flags are no hook.
func ParseHook(flag string, words []string) (Hook, error) {
	if len(words) == 1 && strings.HasPrefix(words[0], "[") {
		var list []string
		if err := yaml.Unmarshal([]byte(words[0]), &list); err != nil {
			return nil, fmt.Errorf("--%s: %w", flag, err)
		}
		words = list
		if len(words) == 0 {
			return nil, fmt.Errorf("--%s: names no command", flag)
		}
	}
	if len(words) > 0 && words[0] == "" {
		return nil, fmt.Errorf("--%s: names no command", flag)
	}
	return words, nil
}

// Run runs the command about a file, whose path stands for {} or comes last;
// "" is no file. Its output is part of the error. What it has started is
// killed with it.
func (h Hook) Run(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, hookTimeout)
	defer cancel()
	args := h.words(path)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		err = errors.Join(ctx.Err(), err)
	}
	const most = 500
	text := strings.TrimSpace(out.String())
	switch {
	case err == nil:
		return nil
	case text == "":
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return fmt.Errorf("%s: %w: %s", args[0], err, text[:min(most, len(text))])
}

func (h Hook) words(path string) []string {
	words, named := make([]string, 0, len(h)+1), path == ""
	for _, w := range h {
		if path != "" && strings.Contains(w, "{}") {
			w, named = strings.ReplaceAll(w, "{}", path), true
		}
		words = append(words, w)
	}
	if !named {
		words = append(words, path)
	}
	return words
}
