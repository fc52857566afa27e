package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sluice-lb/sluice/internal/catalog"
	"github.com/sluice-lb/sluice/internal/generate"
	"github.com/sluice-lb/sluice/internal/poolfile"
)

// lbdGeneration is one run of generate lbd.
type lbdGeneration struct {
	*confctl
	catalog    string
	site       string
	class      string
	source     string
	global     string
	out        string
	allowEmpty bool
	checkArgs  []string
	reloadArgs []string
}

// toStdout is the --out that is no file.
const toStdout = "-"

func (c *confctl) generateLbd() *cobra.Command {
	g := lbdGeneration{confctl: c}
	cmd := &cobra.Command{
		Use:   "lbd --catalog FILE --site SITE --out FILE",
		Short: "Write a load balancer's pybal.conf from a service catalog",
		Long: "Write the pybal.conf of a site's load balancer, for lbd or PyBal, from a catalog in the form of Wikimedia's\n" +
			"service::catalog: one section for each address of each service of the balancer's class that is at the site,\n" +
			"past service_setup. Everything that is wrong with the catalog is said, with file and line,\n" +
			"and nothing written. The store is not asked.\n\n" +
			"Exit codes: 0 the file is as the catalog says; 1 not; 2 the command line.",
		Example: "  confctl generate lbd --catalog service.yaml --site eqiad --class low-traffic --out -\n" +
			"  confctl generate lbd --catalog service.yaml --site eqiad --class secondary --global global.conf --out /etc/pybal/pybal.conf\n" +
			"  confctl generate lbd --catalog service.yaml --site eqiad --out pybal.conf --check lbd --check check-config --reload systemctl --reload reload --reload lbd\n" +
			"  confctl generate lbd --catalog service.yaml --site eqiad --source 'http://config.example/pybal/{site}/{cluster}/{service}' --out -",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return g.run(cmd.Context()) },
	}
	flags := cmd.Flags()
	flags.StringVar(&g.catalog, "catalog", "", "service catalog to read, a `FILE` of YAML")
	flags.StringVar(&g.site, "site", "", "`SITE` of the load balancer")
	flags.StringVar(&g.class, "class", "", "`CLASS` of the load balancer; secondary, as none at all, carries every class")
	flags.StringVar(&g.source, "source", "", "`URL` of the pools: etcd://HOST:PORT, http://HOST or file:///DIR, with the usual path of a pool put behind,\n"+
		"or a whole one with {site}, {cluster}, {service} and {entry}, the catalog's name, in it\n(default etcd at the endpoints of the configuration)")
	flags.StringVar(&g.global, "global", "", "`FILE` to put in front: the [global] section, and others of your own")
	flags.StringVar(&g.out, "out", "", "`FILE` to write to; - is stdout")
	flags.BoolVar(&g.allowEmpty, "allow-empty", false, "let a file without services replace one that has some")
	flags.StringArrayVar(&g.checkArgs, "check", nil,
		"command that must approve a new file before it replaces the old one: one flag for each `WORD`, or a YAML list; {} is the file, else it comes last")
	flags.StringArrayVar(&g.reloadArgs, "reload", nil, "command to run after the file has changed: one flag for each `WORD`, or a YAML list")
	return cmd
}

func (g *lbdGeneration) run(ctx context.Context) error {
	check, reload, err := g.arguments()
	if err != nil {
		return withExit(exitUsage, err)
	}
	services, err := g.readCatalog(g.catalog)
	if err != nil {
		return err
	}
	fragment, selected, err := g.selection(services)
	if err != nil {
		return err
	}
	data, err := selected.Format(fragment, g.global)
	if err != nil {
		return g.complain(err)
	}
	if g.out == toStdout {
		_, err := g.env.Stdout.Write(data)
		return err
	}
	return g.replace(ctx, data, len(selected.Sections), fragment, check, reload)
}

// arguments checks the command line.
func (g *lbdGeneration) arguments() (check, reload generate.Hook, err error) {
	for _, flag := range []struct{ name, value, what string }{
		{"catalog", g.catalog, "FILE"}, {"site", g.site, "SITE"}, {"out", g.out, "FILE"},
	} {
		if flag.value == "" {
			return nil, nil, fmt.Errorf("no --%s %s given", flag.name, flag.what)
		}
	}
	if check, err = generate.ParseHook("check", g.checkArgs); err != nil {
		return nil, nil, oneLine{err}
	}
	if reload, err = generate.ParseHook("reload", g.reloadArgs); err != nil {
		return nil, nil, oneLine{err}
	}
	if g.out == toStdout && (check != nil || reload != nil) {
		return nil, nil, errors.New("--check and --reload are about a file, and --out is stdout")
	}
	return check, reload, nil
}

// readCatalog reads a service catalog, and says everything that is wrong with
// it.
func (c *confctl) readCatalog(file string) (*catalog.Catalog, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, readError("catalog", file, err)
	}
	services, err := catalog.Parse(data, file)
	if err != nil {
		return nil, c.complain(err)
	}
	return services, nil
}

// selection returns what goes into the file.
func (g *lbdGeneration) selection(services *catalog.Catalog) (fragment []byte, selected catalog.Selection, err error) {
	if selected, err = services.Select(g.site, g.class); err != nil {
		return nil, selected, withExit(exitUsage, fmt.Errorf("catalog %s: %w", g.catalog, err))
	}
	source, err := g.pools()
	if err != nil {
		return nil, selected, err
	}
	all, err := services.Select(g.site, catalog.Secondary)
	if err == nil {
		err = source.distinct(all.Sections)
	}
	if err != nil {
		return nil, selected, withExit(exitUsage, err)
	}
	for i := range selected.Sections {
		selected.Sections[i].Source = source.of(selected.Sections[i])
	}
	if g.global != "" {
		if fragment, err = os.ReadFile(g.global); err != nil {
			return nil, selected, readError("global section", g.global, err)
		}
	}
	return fragment, selected, nil
}

// replace puts the text into the file.
func (g *lbdGeneration) replace(ctx context.Context, data []byte, services int, fragment []byte, check, reload generate.Hook) error {
	parent, name := filepath.Split(filepath.Clean(g.out))
	parent, name = filepath.Clean(parent), cmp.Or(name, ".")
	dir, err := poolfile.OpenDir(parent)
	if err != nil {
		return withExit(exitUsage, readError("directory", parent, err))
	}
	defer dir.Close()
	old, err := dir.Read(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if n := lost(old, fragment); services == 0 && n > 0 && !g.allowEmpty {
		return fmt.Errorf("%s: no service would be left of %d: kept as it is without --allow-empty", g.out, n)
	}
	var checks []poolfile.Check
	if check != nil {
		checks = append(checks, func(path string) error { return check.Run(ctx, path) })
	}
	changed, err := dir.Replace(name, data, checks...)
	if err != nil {
		return oneLine{err}
	}
	if !changed {
		return nil
	}
	if !g.quiet {
		fmt.Fprintf(g.env.Stdout, "%s: %d services\n", g.out, services)
	}
	if reload != nil {
		if err := reload.Run(ctx, ""); err != nil {
			return oneLine{fmt.Errorf("reload: %w", err)}
		}
	}
	return nil
}

// lost counts the services of an old file that are not the fragment's, which
// stay.
func lost(old, fragment []byte) int {
	own := catalog.Services(fragment)
	return len(slices.DeleteFunc(catalog.Services(old), func(name string) bool { return slices.Contains(own, name) }))
}

// complain says everything that is wrong with a file, each on its line.
func (c *confctl) complain(err error) error {
	problems := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		problems = joined.Unwrap()
	}
	for _, problem := range problems {
		fmt.Fprintf(c.env.Stderr, "confctl: %v\n", problem)
	}
	return withExit(exitFailure, nil)
}
