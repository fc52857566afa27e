// Package sluice_test holds the architecture as a test: which room may know
// which, what no program may link, and what every package owes its reader.
package sluice_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sluice-lb/sluice/"

// rooms lists, for every package, the packages of ours it may import. A package
// that is not listed fails the test: a new room is a decision.
var rooms = map[string][]string{
	// L0: values. They import nothing of ours.
	"docs":               {}, // what programs serve of it
	"schema":             {},
	"pkg/objects":        {},
	"pkg/lbstatus":       {},
	"internal/lb":        {},
	"internal/dataplane": {},
	"internal/bgp":       {},
	"internal/devetcd":   {},
	"internal/catalog":   {"internal/problem"},

	// L1: judgements. No I/O but lbverify's questions to balancers.
	"pkg/lbverify":         {"pkg/lbstatus"},
	"internal/coordinator": {"internal/lb"},
	"internal/nagios":      {"internal/dataplane", "pkg/lbstatus"},

	// L2: one outside thing each.
	"pkg/state":                    {"pkg/objects"},
	"internal/systemd":             {},
	"internal/sdnotify":            {},
	"internal/etcdv2":              {},
	"internal/etcdv2/etcdv2test":   {},
	"internal/workflow":            {"pkg/objects", "pkg/state", "pkg/lbstatus", "pkg/lbverify"},
	"internal/health":              {"internal/lb"},
	"internal/poolfile":            {"internal/literal"},
	"internal/generate":            {"internal/poolfile", "pkg/objects", "pkg/state"},
	"internal/source":              {"internal/lb", "internal/poolfile", "pkg/objects", "pkg/state"}, // the only bridge
	"internal/balancer":            {"internal/lb", "internal/coordinator", "internal/dataplane", "internal/bgp", "pkg/lbstatus"},
	"internal/dataplane/ipvs":      {"internal/dataplane"},
	"internal/dataplane/userspace": {"internal/dataplane"},
	"internal/dataplane/planetest": {"internal/dataplane"},

	// L3: programs.
	"internal/cli": {
		"pkg/objects", "pkg/state", "pkg/lbstatus", "pkg/lbverify", "internal/workflow", "internal/systemd",
		"internal/poolfile", "internal/generate", "internal/catalog", "internal/etcdv2", "schema",
	},
	"internal/lbd": {
		"internal/lb", "internal/source", "internal/health", "internal/balancer", "internal/bgp",
		"internal/dataplane", "internal/dataplane/ipvs", "internal/dataplane/userspace", "internal/lbd/page", "internal/literal", "internal/nagios", "internal/problem", "internal/sdnotify", "pkg/lbstatus",
		"docs",
	},
	"internal/lbd/page":   {"pkg/lbstatus"},
	"internal/literal":    {},
	"internal/problem":    {},
	"cmd/confctl":         {"internal/cli"},
	"cmd/pool":            {"internal/cli"},
	"cmd/depool":          {"internal/cli"},
	"cmd/drain":           {"internal/cli"},
	"cmd/decommission":    {"internal/cli"},
	"cmd/conftool-sync":   {"internal/cli"},
	"cmd/restart-service": {"internal/cli"},
	"cmd/lbd":             {"internal/lbd"},
	"cmd/manpages":        {"internal/cli", "internal/lbd"},
	"cmd/sandbox":         {"internal/lbd", "internal/devetcd", "internal/health", "pkg/lbstatus", "pkg/objects", "pkg/state"},
}

// forbidden lists what must not be linked into a program, however indirectly.
var forbidden = []struct {
	programs []string
	prefix   string
	why      string
}{
	{operators, "github.com/osrg/gobgp", "the operator's tools start in milliseconds and speak no BGP"},
	{operators, "github.com/prometheus", "the operator's tools serve no metrics"},
	{operators, "go.etcd.io/etcd/server", "the etcd server belongs to the sandbox and to tests"},
	{operators, module + "internal/lb", "the operator's side knows the balancers by their status only"},
	{[]string{"cmd/lbd"}, "go.etcd.io/etcd/server", "the etcd server belongs to the sandbox and to tests"},
	{[]string{"cmd/lbd"}, module + "internal/devetcd", "the etcd server belongs to the sandbox and to tests"},
	{[]string{"internal/coordinator", "internal/lb"}, anyModule, "decisions need nobody's help"},
}

// anyModule stands for every module but ours: there is none elsewhere that a
// decision could need.
const anyModule = "github.com/"

var operators = []string{"cmd/confctl", "cmd/pool", "cmd/depool", "cmd/drain", "cmd/decommission", "cmd/conftool-sync", "cmd/restart-service"}

// impure are packages that rooms which judge by values alone must not import.
var impure = map[string][]string{
	"internal/coordinator": {"net", "net/http", "os", "time", "log", "log/slog", "context", "fmt", "io"},
	"internal/nagios":      {"net", "net/http", "os", "time", "log", "log/slog", "context", "io"},
}

// noNames are package names that say nothing.
var noNames = []string{"util", "utils", "common", "helpers", "types", "model", "models", "misc"}

type pkg struct {
	ImportPath, Dir string
	Imports, Deps   []string
	GoFiles         []string
}

func (p pkg) name() string { return strings.TrimPrefix(p.ImportPath, module) }

func list(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Dir,Imports,Deps,GoFiles", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		if len(p.GoFiles) > 0 {
			pkgs = append(pkgs, p)
		}
	}
}

func TestRoomsImportOnlyWhatTheyMay(t *testing.T) {
	for _, p := range list(t) {
		allowed, known := rooms[p.name()]
		if !known {
			t.Errorf("%s is a room nobody has decided on: add it to rooms", p.name())
		}
		for _, imp := range p.Imports {
			own := strings.TrimPrefix(imp, module)
			if own != imp && !slices.Contains(allowed, own) {
				t.Errorf("%s must not import %s", p.name(), own)
			}
			if slices.Contains(impure[p.name()], imp) {
				t.Errorf("%s is pure: it must not import %s", p.name(), imp)
			}
		}
		if slices.Contains(noNames, filepath.Base(p.ImportPath)) {
			t.Errorf("%s: a name that says nothing", p.name())
		}
	}
}

func TestProgramsLinkNothingForbidden(t *testing.T) {
	for _, p := range list(t) {
		for _, f := range forbidden {
			if !slices.Contains(f.programs, p.name()) {
				continue
			}
			for _, dep := range p.Deps {
				if strings.HasPrefix(dep, module) && f.prefix == anyModule {
					continue
				}
				if dep == f.prefix || strings.HasPrefix(dep, strings.TrimSuffix(f.prefix, "/")+"/") {
					t.Errorf("%s links %s: %s", p.name(), dep, f.why)
				}
			}
		}
	}
}

func TestPackagesAreDocumentedAndHoldNoState(t *testing.T) {
	for _, p := range list(t) {
		docs := 0
		for _, name := range p.GoFiles {
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if file.Doc != nil {
				docs++
			}
			for _, decl := range file.Decls {
				inspect(t, fset, decl)
			}
		}
		if docs != 1 {
			t.Errorf("%s has %d package comments, want one", p.name(), docs)
		}
	}
}

// inspect refuses init functions and package variables that could change.
func inspect(t *testing.T, fset *token.FileSet, decl ast.Decl) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil && d.Name.Name == "init" {
			t.Errorf("%s: func init: wiring belongs in one place", fset.Position(d.Pos()))
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			v, ok := spec.(*ast.ValueSpec)
			if ok && d.Tok == token.VAR && !constant(d, v) {
				t.Errorf("%s: package variable %s: state belongs to somebody", fset.Position(v.Pos()), v.Names[0].Name)
			}
		}
	}
}

// constant tells whether a package variable is one only because Go has no
// constants of its type: errors, compiled expressions and templates, embedded
// files, interface assertions.
func constant(d *ast.GenDecl, v *ast.ValueSpec) bool {
	if v.Names[0].Name == "_" {
		return true
	}
	if d.Doc != nil && strings.Contains(d.Doc.List[len(d.Doc.List)-1].Text, "go:embed") {
		return true
	}
	for _, value := range v.Values {
		call, ok := value.(*ast.CallExpr)
		if !ok {
			return false
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || !slices.Contains([]string{"New", "Errorf", "MustCompile", "Must", "NewReplacer"}, sel.Sel.Name) {
			return false
		}
	}
	return len(v.Values) > 0
}
