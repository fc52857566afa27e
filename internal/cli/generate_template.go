package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/sluice-lb/sluice/internal/generate"
)

// templating is what the command line says of templates.
type templating struct {
	templates []string
	outs      []string
	prefix    string
}

func (t *templating) flags(flags *pflag.FlagSet) {
	flags.StringArrayVar(&t.templates, "template", nil, "`FILE` with a Go template, for the --out behind it; may be repeated")
	flags.StringArrayVar(&t.outs, "out", nil, "`DEST`, the file that the template makes")
	flags.StringVar(&t.prefix, "prefix", "/", "`PATH` below the namespace that the keys of ls, getv and gets begin at, as in confd")
}

// run makes the files of templates.
func (t *templating) run(ctx context.Context, g *generation) error {
	pairs, err := t.pairs()
	if err != nil {
		return withExit(exitUsage, err)
	}
	var dirs []string
	for _, p := range pairs {
		dirs = append(dirs, filepath.Dir(p.Dest))
	}
	return g.run(ctx, dirs, func(s *session) (generate.Kind, error) {
		kind, err := generate.Templates(pairs, s.schema, t.prefix)
		if err != nil {
			return nil, withExit(exitUsage, oneLine{err})
		}
		return kind, nil
	})
}

// pairs are the templates, each with its file.
func (t *templating) pairs() ([]generate.Template, error) {
	if len(t.templates) != len(t.outs) {
		return nil, fmt.Errorf("%d --template and %d --out: each template wants a file of its own", len(t.templates), len(t.outs))
	}
	var all []generate.Template
	for i, file := range t.templates {
		if file == "" || t.outs[i] == "" {
			return nil, errors.New("--template and --out each want the name of a file")
		}
		if t.outs[i] == toStdout {
			return nil, errors.New("--out -: a template makes a file; --dry-run shows what would be in it")
		}
		all = append(all, generate.Template{File: file, Dest: filepath.Clean(t.outs[i])})
	}
	return all, nil
}
