package generate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"text/template"
	"text/template/parse"
	"time"
)

// limits bound one execution of a template.
type limits struct {
	size int // bytes written, and of any text on the way there
	time time.Duration
}

// defaultLimits are far from what a file for people or daemons needs.
func defaultLimits() limits { return limits{size: 16 << 20, time: 10 * time.Second} }

// guard ends an execution that writes too much or takes too long.
type guard struct {
	limits
	ctx  context.Context
	end  time.Time
	out  bytes.Buffer
	fail error // why it was ended
}

func newGuard(ctx context.Context, l limits) *guard {
	return &guard{limits: l, ctx: ctx, end: time.Now().Add(l.time)}
}

// Write takes the template's text.
func (g *guard) Write(p []byte) (int, error) {
	if g.out.Len()+len(p) > g.size {
		return 0, g.stop(fmt.Errorf("writes more than %d bytes", g.size))
	}
	return g.out.Write(p)
}

// pass lets an execution go on, at its place in the template, or ends it.
func (g *guard) pass(place string) (string, error) {
	switch {
	case g.ctx.Err() != nil:
		return "", g.stop(g.ctx.Err())
	case time.Now().After(g.end):
		return "", g.stop(fmt.Errorf("%s: not done within %s", place, g.time))
	}
	return "", nil
}

func (g *guard) stop(err error) error {
	g.fail = err
	return err
}

// text lets a text go on, or ends the execution.
func (g *guard) text(s string) (string, error) {
	if len(s) > g.size {
		return "", g.stop(fmt.Errorf("makes a text of more than %d bytes", g.size))
	}
	return s, nil
}

// functions are the guard's own and text/template's that could make a text
// grow without end.
func (g *guard) functions() template.FuncMap {
	return template.FuncMap{
		guardName: g.pass,
		"printf":  func(format string, args ...any) (string, error) { return g.text(fmt.Sprintf(format, args...)) },
		"print":   func(args ...any) (string, error) { return g.text(fmt.Sprint(args...)) },
		"println": func(args ...any) (string, error) { return g.text(fmt.Sprintln(args...)) },
		"html":    func(args ...any) (string, error) { return g.text(template.HTMLEscaper(args...)) },
		"js":      func(args ...any) (string, error) { return g.text(template.JSEscaper(args...)) },
		"urlquery": func(args ...any) (string, error) {
			return g.text(template.URLQueryEscaper(args...))
		},
	}
}

// guardName is the function that guardLoops calls.
const guardName = "goOn"

// guardLoops has the guard asked in every round of every loop and in every
// template that is called: nothing else can go on without end.
func guardLoops(t *template.Template) error {
	for _, part := range t.Templates() {
		if part.Tree == nil {
			continue
		}
		var errs []error
		walk(part.Root, func(n parse.Node) {
			if r, ok := n.(*parse.RangeNode); ok {
				errs = append(errs, ask(r.List, fmt.Sprintf("%s:%d", part.ParseName, r.Line)))
			}
		})
		errs = append(errs, ask(part.Root, part.ParseName))
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	return nil
}

// ask puts a question to the guard before all else in a list.
func ask(list *parse.ListNode, place string) error {
	stub := template.FuncMap{guardName: func(string) string { return "" }}
	t, err := template.New(place).Funcs(stub).Parse(fmt.Sprintf("{{%s %q}}", guardName, place))
	if err != nil {
		return err
	}
	list.Nodes = append([]parse.Node{t.Root.Nodes[0]}, list.Nodes...)
	return nil
}
