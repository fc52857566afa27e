package cli

import (
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// conftoolArgs gives arguments the meaning Python's argparse gives conftool's:
// "@FILE" stands for the lines of FILE, and a long flag may be shortened to
// any prefix that fits only one.
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
	return lengthen(root, all), nil
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

// completeFlag returns the flag in full, and whether its value is the next
// argument. What fits no flag, or several, stays as it is.
func completeFlag(flags *pflag.FlagSet, arg string) (string, bool) {
	name, rest, given := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
	flag := flags.Lookup(name)
	if flag == nil {
		var fits []*pflag.Flag
		flags.VisitAll(func(f *pflag.Flag) {
			if strings.HasPrefix(f.Name, name) {
				fits = append(fits, f)
			}
		})
		if len(fits) != 1 {
			return arg, false
		}
		flag = fits[0]
	}
	if given {
		return "--" + flag.Name + "=" + rest, false
	}
	return "--" + flag.Name, flag.NoOptDefVal == ""
}
