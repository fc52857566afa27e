package generate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/sluice-lb/sluice/pkg/objects"
)

// maxTemplate bounds a template's own text.
const maxTemplate = 1 << 20

// fileTemplate is a template and the file it makes.
type fileTemplate struct {
	name   string // of the template's file
	dest   string
	parsed *template.Template
	uses   uses
	limits limits
}

// readTemplate reads and checks a template. Errors name file and line.
func readTemplate(name, dest string, schema *objects.Schema) (*fileTemplate, error) {
	data, err := readWhole(name)
	if err != nil {
		return nil, fmt.Errorf("read template %s: %w", name, readError(err))
	}
	return parseTemplate(name, dest, string(data), schema)
}

func readWhole(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxTemplate+1))
	if err == nil && len(data) > maxTemplate {
		err = fmt.Errorf("larger than %d bytes", maxTemplate)
	}
	return data, err
}

func parseTemplate(name, dest, text string, schema *objects.Schema) (*fileTemplate, error) {
	t := &fileTemplate{name: name, dest: dest, limits: defaultLimits()}
	functions := t.functions(newGuard(context.Background(), t.limits), material{tree: &tree{}})
	parsed, err := template.New(name).Option("missingkey=error").Funcs(functions).Parse(text)
	if err != nil {
		return nil, t.explain(err)
	}
	if t.uses, err = usesOf(parsed); err != nil {
		return nil, t.explain(err)
	}
	for _, name := range t.uses.types {
		if _, ok := schema.Type(name); !ok {
			return nil, fmt.Errorf("template %s: object type %q: not in the schema", t.name, name)
		}
	}
	t.parsed = parsed
	return t, guardLoops(parsed)
}

// explain shortens what text/template says to what a reader of the template
// needs: file, line and reason.
func (t *fileTemplate) explain(err error) error {
	text := strings.TrimPrefix(err.Error(), "template: ")
	text = strings.Replace(text, fmt.Sprintf("executing %q ", t.name), "", 1)
	if !strings.HasPrefix(text, t.name) {
		text = t.name + ": " + text
	}
	return fmt.Errorf("template %w", explained{err, text})
}

// explained is an error in other words.
type explained struct {
	error
	text string
}

func (e explained) Error() string { return e.text }

func (e explained) Unwrap() error { return e.error }

// Data is what a template's dot is.
type Data struct {
	// Pools are all pools, sorted by DC, cluster and service.
	Pools []Pool
	// Sites are the same nodes by DC, cluster, host and service.
	Sites map[string]map[string]map[string]map[string]*Node
}

// material is what the store holds, as templates see it.
type material struct {
	Data
	objects map[string][]Object // by type
	tree    *tree
}

// functions are all that a template can call besides text/template's own. None
// of them reads a file or the environment, or runs anything.
func (t *fileTemplate) functions(g *guard, m material) template.FuncMap {
	all := textFunctions()
	maps.Copy(all, m.tree.functions())
	maps.Copy(all, g.functions())
	all["objects"] = func(name string) []Object { return m.objects[name] }
	return all
}

// execute makes the file's contents.
func (t *fileTemplate) execute(ctx context.Context, m material) ([]byte, error) {
	copied, err := t.parsed.Clone()
	if err != nil {
		return nil, t.explain(err)
	}
	g := newGuard(ctx, t.limits)
	err = copied.Funcs(t.functions(g, m)).Execute(g, m.Data)
	if g.fail != nil {
		err = g.fail
	}
	if err != nil {
		return nil, t.explain(err)
	}
	return append([]byte{}, g.out.Bytes()...), nil
}

// build makes the file's contents and tells how they compare with the old.
func (t *fileTemplate) build(ctx context.Context, m material, lacking error, old []byte) (made, error) {
	data, err := t.execute(ctx, m)
	switch {
	case err != nil && lacking != nil:
		return made{}, fmt.Errorf("%w: %w", lacking, err)
	case err != nil:
		return made{}, err
	}
	out := made{data: data, what: fmt.Sprintf("%d lines", countLines(data)), lost: lacking}
	if lacking == nil && saysNothing(data) && !saysNothing(old) {
		out.lost = errors.New("nothing but comments would be left")
	}
	out.empty = out.lost != nil
	return out, nil
}

func countLines(text []byte) int {
	n := 0
	for range bytes.Lines(text) {
		n++
	}
	return n
}

// saysNothing tells whether a text is blank but for comments and brackets.
func saysNothing(text []byte) bool {
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		comment := strings.HasPrefix(line, "#") || strings.HasPrefix(line, "//") || strings.HasPrefix(line, ";")
		if !comment && strings.Trim(line, "[]{}(), \t") != "" {
			return false
		}
	}
	return true
}

// place is where the file lies.
func (t *fileTemplate) place() place { return place{filepath.Dir(t.dest), filepath.Base(t.dest)} }
