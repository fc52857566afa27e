package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// spreadLists lets list flags take several values as argparse's do: the
// arguments up to the next flag. "--pools a b" becomes "--pools=a --pools=b".
func spreadLists(args []string, lists ...string) ([]string, error) {
	var out []string
	for i := 0; i < len(args); i++ {
		if !slices.Contains(lists, args[i]) {
			out = append(out, args[i])
			continue
		}
		name, before := args[i], i
		for i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
			i++
			out = append(out, name+"="+args[i])
		}
		if i == before {
			return nil, usagef("%s: want at least one value", name)
		}
	}
	return out, nil
}

// seconds is a flag in seconds, "3" or "0.5", or a duration with its unit,
// "500ms".
type seconds float64

func (s seconds) duration() time.Duration { return time.Duration(float64(s) * float64(time.Second)) }

// String returns the number of seconds.
func (s *seconds) String() string { return strconv.FormatFloat(float64(*s), 'g', -1, 64) }

// Type is shown in the help.
func (s *seconds) Type() string { return "seconds" }

// Set reads the flag.
func (s *seconds) Set(text string) error {
	const longest = 24 * 60 * 60
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		d, derr := time.ParseDuration(text)
		n, err = d.Seconds(), derr
	}
	if err != nil || !(n >= -longest && n <= longest) {
		return fmt.Errorf("want seconds, at most a day")
	}
	*s = seconds(n)
	return nil
}
