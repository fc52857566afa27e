package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sluice-lb/sluice/internal/generate"
	"github.com/sluice-lb/sluice/internal/poolfile"
	"github.com/sluice-lb/sluice/pkg/objects"
)

// pybalGeneration is one run of generate pybal.
type pybalGeneration struct {
	generation
	form      string
	byCluster bool
	catalog   string
}

func (c *confctl) generatePyBal() *cobra.Command {
	g := pybalGeneration{generation: generation{confctl: c}}
	cmd := &cobra.Command{
		Use:   "pybal --out DIR",
		Short: "Write PyBal's pool files, DIR/DC/SERVICE",
		Long: "Write one pool file for each service of each site, as config-master serves them and PyBal and lbd read them.\n" +
			"Inactive nodes are left out. With --form json the files end in .json.\n\n" +
			"Files are named after the services in the store, which clusters of a site may share: those files are refused.\n" +
			"With --catalog they are named after the services of a catalog instead, as Wikimedia's are, and with --by-cluster after both.",
		Example: "  confctl generate pybal --out /srv/config-master/pybal\n" +
			"  confctl generate pybal --catalog service.yaml --out /srv/config-master/pybal --watch\n" +
			"  confctl generate pybal --out /srv/pybal --form json --watch --listen :8080",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return g.start(cmd.Context()) },
	}
	flags := cmd.Flags()
	flags.StringVar(&g.form, "form", string(poolfile.Dict), "`FORM` of the files: dict, a line for each server, or json")
	flags.BoolVar(&g.byCluster, "by-cluster", false, "write DIR/DC/CLUSTER/SERVICE: clusters may then have services of the same name")
	flags.StringVar(&g.catalog, "catalog", "", "service catalog, a `FILE` of YAML: write DIR/DC/NAME for each of its load-balanced services")
	g.outFlag(flags)
	g.flags(flags)
	return cmd
}

func (g *pybalGeneration) start(ctx context.Context) error {
	form := poolfile.Form(g.form)
	if form != poolfile.Dict && form != poolfile.JSON {
		return withExit(exitUsage, fmt.Errorf("no form %q: want dict or json", form))
	}
	naming, err := g.naming()
	if err != nil {
		return err
	}
	return g.pools(ctx, func(node *objects.Type) generate.Kind { return generate.PyBal(g.out, node, form, naming) })
}

// naming says what the files are called.
func (g *pybalGeneration) naming() (generate.Naming, error) {
	switch {
	case g.byCluster && g.catalog != "":
		return nil, withExit(exitUsage, errors.New("--by-cluster and --catalog name the same files"))
	case g.byCluster:
		return generate.ByCluster, nil
	case g.catalog == "":
		return generate.ByService, nil
	}
	services, err := g.readCatalog(g.catalog)
	if err != nil {
		return nil, err
	}
	names := map[string][]string{}
	for _, site := range services.Sites() {
		selected, err := services.Select(site, "")
		if err != nil {
			return nil, err
		}
		for _, s := range selected.Sections {
			pool := generate.Pool{DC: s.Site, Cluster: s.Cluster, Service: s.Service}.String()
			if !slices.Contains(names[pool], s.Entry) { // which has a section for each address
				names[pool] = append(names[pool], s.Entry)
			}
		}
	}
	return func(p generate.Pool) []string { return names[p.String()] }, nil
}
