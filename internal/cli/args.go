package cli

import (
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// conftoolArgs gives arguments the meaning Python's argparse gives conftool's:
// "@FILE" stands for the lines of FILE, the historic --tags for the mode tags,
// --action takes two values, and a long flag may be shortened to any prefix
// that fits only one.
func conftoolArgs(root *cobra.Command, args []string) ([]string, error) {
	var all []string
	for _, arg := range args {
		file, ok := strings.CutPrefix(arg, "@")
		if !ok || file == "" {
			all = append(all, arg)
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, readError("arguments", file, err)
		}
		for line := range strings.Lines(string(data)) {
			all = append(all, strings.TrimRight(line, "\r\n"))
		}
	}
	if tags, _, err := root.Find([]string{"tags"}); err == nil && tags != root {
		for i, arg := range all {
			if arg == "--tags" {
				all[i] = "tags"
			}
		}
	}
	return pairs(lengthen(root, all))
}

// pairMark stands between the two values of a flag that takes two. No argument
// can hold it.
const pairMark = "\x00"

// pairs joins the two values behind every --action.
func pairs(args []string) ([]string, error) {
	var all []string
	for i := 0; i < len(args); i++ {
		if args[i] != "--action" || !slices.Contains(args[:i], "tags") {
			all = append(all, args[i])
			continue
		}
		if i+2 >= len(args) || strings.HasPrefix(args[i+2], "-") {
			return nil, errors.New("--action wants two values: ACTION NAME")
		}
		all = append(all, args[i], args[i+1]+pairMark+args[i+2])
		i += 2
	}
	return all, nil
}

// lengthen completes shortened flags: those before the mode by the program's,
// those behind it by the mode's.
func lengthen(root *cobra.Command, args []string) []string {
	root.InitDefaultVersionFlag()
	for _, cmd := range append(root.Commands(), root) {
		cmd.InitDefaultHelpFlag()
	}
	all := make([]string, 0, len(args))
	flags, value := root.Flags(), false
	for i, arg := range args {
		switch {
		case value:
			value = false
		case arg == "--":
			return append(all, args[i:]...)
		case strings.HasPrefix(arg, "--"):
			arg, value = completeFlag(flags, arg)
		case flags == root.Flags() && !strings.HasPrefix(arg, "-"):
			for _, mode := range root.Commands() {
				if mode.Name() == arg {
					flags = mode.Flags()
				}
			}
		}
		all = append(all, arg)
	}
	return all
}

// conftoolFlags are the flags conftool has. A prefix that fits only one of them
// keeps meaning it, whatever other flags there are.
func conftoolFlags() []string {
	return []string{"config", "object-type", "yaml", "host", "debug", "quiet", "schema", "version", "help", "action", "hostname", "service"}
}

// completeFlag returns the flag in full, and whether its value is the next
// argument. What fits no flag, or several, stays as it is.
func completeFlag(flags *pflag.FlagSet, arg string) (string, bool) {
	name, rest, given := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
	flag := flags.Lookup(name)
	if flag == nil {
		flag = fitting(flags, name)
	}
	if flag == nil {
		return arg, false
	}
	if given {
		return "--" + flag.Name + "=" + rest, false
	}
	return "--" + flag.Name, flag.NoOptDefVal == ""
}

// fitting returns the only flag a prefix fits, or the only one of conftool's.
func fitting(flags *pflag.FlagSet, prefix string) *pflag.Flag {
	var fits, old []*pflag.Flag
	flags.VisitAll(func(f *pflag.Flag) {
		if strings.HasPrefix(f.Name, prefix) {
			fits = append(fits, f)
			if slices.Contains(conftoolFlags(), f.Name) {
				old = append(old, f)
			}
		}
	})
	switch {
	case len(fits) == 1:
		return fits[0]
	case len(old) == 1:
		return old[0]
	}
	return nil
}
