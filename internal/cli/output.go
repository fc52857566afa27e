package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// printChange prints conftool's lines of a write: one per changed field, an
// empty one for an object that already was as wanted, one per object deleted.
func printChange(w io.Writer, change state.Change) {
	for _, o := range change.Objects {
		switch {
		case o.Object.Raw == nil && o.Changed:
			fmt.Fprintf(w, "Deleted ('%s',) %s.\n", className(o.Object.Type), o.Object.Key.Name)
		case o.Changed && len(o.Diffs) == 0:
			fmt.Fprintf(w, "%s: created %s\n", o.Object.Key, stored(o.Object.Raw))
		case len(o.Diffs) == 0:
			fmt.Fprintln(w)
		}
		for _, d := range o.Diffs {
			fmt.Fprintf(w, "%s: %s\n", o.Object.Key, d)
		}
	}
}

// className is the name of conftool's class for a type: "Dbconfig_instance".
func className(t *objects.Type) string {
	name := strings.Map(func(r rune) rune {
		if r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return '_'
	}, strings.ToLower(t.Name))
	for i, r := range name {
		return string(unicode.ToUpper(r)) + name[i+len(string(r)):]
	}
	return name
}

// nameMalformed names objects the selector could not judge. Whoever selects
// must not pass over them in silence.
func nameMalformed(env Env, malformed []error) {
	for _, err := range malformed {
		fmt.Fprintf(env.Stderr, "confctl: %v\n", oneLine{err})
	}
}

// warnStray names keys that are no objects, on one line.
func warnStray(env Env, t *objects.Type, stray []string) {
	const most = 5
	if len(stray) == 0 {
		return
	}
	more := ""
	if len(stray) > most {
		stray, more = stray[:most], fmt.Sprintf(" and %d more", len(stray)-most)
	}
	fmt.Fprintf(env.Stderr, "warning: keys below %s that are no %s, ignored: %s%s\n",
		t.Path, t.Name, strings.Join(stray, ", "), more)
}
