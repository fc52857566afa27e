package generate

import (
	"errors"
	"fmt"
	"slices"
	"text/template"
	"text/template/parse"
)

// uses is what of the store a template names.
type uses struct {
	pools, sites bool
	tree         bool     // by a function of confd's
	types        []string // by objects
}

// usesOf looks through a template and all that are defined in it.
func usesOf(t *template.Template) (u uses, err error) {
	for _, part := range t.Templates() {
		if part.Tree == nil {
			continue
		}
		walk(part.Root, func(n parse.Node) {
			if e := u.see(n); e != nil && err == nil {
				at, _ := part.ErrorContext(n)
				err = fmt.Errorf("%s: %w", at, e)
			}
		})
	}
	slices.Sort(u.types)
	u.types = slices.Compact(u.types)
	return u, err
}

// errObjects is about objects in a form that does not tell what to read.
var errObjects = errors.New(`objects wants the name of one type, in quotes: objects "discovery"`)

// see takes notice of one node. A command's arguments are seen after it.
func (u *uses) see(n parse.Node) error {
	switch n := n.(type) {
	case *parse.FieldNode:
		u.fields(n.Ident)
	case *parse.VariableNode:
		u.fields(n.Ident)
	case *parse.ChainNode:
		u.fields(n.Field)
	case *parse.IdentifierNode:
		switch n.Ident {
		case "exists", "get", "getv", "gets", "getvs", "ls", "lsdir":
			u.tree = true
		}
	case *parse.CommandNode:
		return u.command(n)
	}
	return nil
}

func (u *uses) fields(names []string) {
	u.pools = u.pools || slices.Contains(names, "Pools")
	u.sites = u.sites || slices.Contains(names, "Sites")
}

// command looks for objects, which must be the function of its command and have
// its type in quotes.
func (u *uses) command(n *parse.CommandNode) error {
	for i, arg := range n.Args {
		if id, ok := arg.(*parse.IdentifierNode); !ok || id.Ident != "objects" {
			continue
		}
		if i > 0 || len(n.Args) != 2 {
			return errObjects
		}
		name, ok := n.Args[1].(*parse.StringNode)
		if !ok {
			return errObjects
		}
		u.types = append(u.types, name.Text)
	}
	return nil
}

// walk calls see with every node of a tree, the outer before the inner.
func walk(n parse.Node, see func(parse.Node)) {
	see(n)
	for _, child := range children(n) {
		walk(child, see)
	}
}

// children returns the nodes right below one.
func children(n parse.Node) []parse.Node {
	switch n := n.(type) {
	case *parse.ListNode:
		return n.Nodes
	case *parse.ActionNode:
		return []parse.Node{n.Pipe}
	case *parse.IfNode:
		return branches(n.BranchNode)
	case *parse.RangeNode:
		return branches(n.BranchNode)
	case *parse.WithNode:
		return branches(n.BranchNode)
	case *parse.TemplateNode:
		if n.Pipe != nil {
			return []parse.Node{n.Pipe}
		}
	case *parse.PipeNode:
		var all []parse.Node
		for _, cmd := range n.Cmds {
			all = append(all, cmd)
		}
		return all
	case *parse.CommandNode:
		return n.Args
	case *parse.ChainNode:
		return []parse.Node{n.Node}
	}
	return nil
}

func branches(n parse.BranchNode) []parse.Node {
	all := []parse.Node{n.Pipe, n.List}
	if n.ElseList != nil {
		all = append(all, n.ElseList)
	}
	return all
}
