package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-lb/sluice/pkg/lbverify"
	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/pkg/state"
)

// membership is who balances what, as registered in the store.
type membership struct {
	members []state.Member
	roots   *x509.CertPool // of balancers that speak HTTPS
	source  func(*objects.Type, objects.Key) string
}

// seat is a balancer's part in one pool.
type seat struct {
	state.Member
	pool string // the pool's name there
}

// balancers reads who has registered. That nobody has is no error.
func (s *session) balancers(ctx context.Context) (membership, error) {
	members, err := s.store.Members(ctx)
	return membership{members: members, roots: s.roots, source: s.store.SourceOf}, err
}

// serving returns every balancer whose pool takes its servers from a source,
// dead or alive. One balancer may have several such pools.
func (m membership) serving(source string) []seat {
	var seats []seat
	for _, member := range m.members {
		for _, p := range member.Pools {
			s := seat{member, p.Pool}
			if p.Source == source && !hasSeat(seats, s) {
				seats = append(seats, s)
			}
		}
	}
	return seats
}

func hasSeat(seats []seat, s seat) bool {
	for _, o := range seats {
		if o.Name == s.Name && o.pool == s.pool {
			return true
		}
	}
	return false
}

// known refuses names that are no balancer's: to leave out somebody who is not
// there is a slip.
func (m membership) known(names []string) error {
	for _, name := range names {
		if _, ok := m.named(name); !ok {
			return withExit(exitUsage, fmt.Errorf("--without-lb: no balancer %q is registered", name))
		}
	}
	return nil
}

func (m membership) named(name string) (state.Member, bool) {
	for _, member := range m.members {
		if member.Name == name {
			return member, true
		}
	}
	return state.Member{}, false
}

// address is where a member is asked.
func address(m state.Member) lbverify.Balancer {
	b := lbverify.Balancer{Name: m.Name}
	if len(m.Status) > 0 {
		b.URL = m.Status[0]
	}
	return b
}

// noLife is the reason nothing is known of a member without a sign of life.
const noLife = "no sign of life in the store"

func (c *confctl) balancersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "balancers",
		Short: "List the balancers that have registered",
		Long: "List the balancers that have registered, what they serve and whether they live.\n\n" +
			"A balancer that has stopped stays listed, as unknown, and stays asked about, until it is forgotten.",
		Example: "  confctl balancers\n  confctl balancers -o json\n  confctl balancers forget lb3",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.listBalancers(cmd.Context())
		},
	}
	c.outputFlag(cmd.Flags())
	cmd.AddCommand(&cobra.Command{
		Use:     "forget NAME",
		Short:   "Remove the record of a balancer that is no more",
		Long:    "Remove the record of a balancer that is no more. One that lives is not forgotten: stop it first.",
		Example: "  confctl balancers forget lb3",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.forgetBalancer(cmd.Context(), args[0])
		},
		ValidArgsFunction: c.complete(completeBalancers),
	})
	return cmd
}

// balancerRow is one registered balancer as listed.
type balancerRow struct {
	Name       string             `json:"name"`
	Alive      bool               `json:"alive"`
	AliveSince *time.Time         `json:"alive_since"`
	Since      time.Time          `json:"since"`
	Status     []string           `json:"status"`
	Pools      []state.MemberPool `json:"pools"`
}

func (c *confctl) listBalancers(ctx context.Context) error {
	s, _, err := c.open()
	if err != nil {
		return err
	}
	defer s.close()
	m, err := s.balancers(ctx)
	if err != nil {
		return err
	}
	list := table{head: []string{"NAME", "ALIVE SINCE", "STATUS", "POOLS"}}
	for _, member := range m.members {
		row := balancerRow{Name: member.Name, Alive: member.Alive, Since: member.Since, Status: member.Status, Pools: member.Pools}
		since := cell{text: "unknown: " + noLife, tint: red}
		if member.Alive {
			since = cell{text: member.AliveSince.Format(time.RFC3339)}
			row.AliveSince = &member.AliveSince
		}
		var pools []string
		for _, p := range member.Pools {
			pools = append(pools, p.Pool)
		}
		list.add(row, cell{text: member.Name}, since, cell{text: strings.Join(member.Status, " ")}, cell{text: strings.Join(pools, " ")})
	}
	if len(m.members) == 0 && (c.output == "" || c.output == formatTable) {
		fmt.Fprintln(c.env.Stderr, "no balancer has registered")
		return nil
	}
	return list.print(c.env, c.output)
}

func (c *confctl) forgetBalancer(ctx context.Context, name string) error {
	s, _, err := c.open()
	if err != nil {
		return err
	}
	defer s.close()
	err = s.store.Forget(ctx, s.audit, name)
	switch {
	case errors.Is(err, state.ErrAlive):
		return withExit(exitUsage, err)
	case err != nil:
		return err
	}
	fmt.Fprintf(c.env.Stdout, "Forgot balancer %s.\n", name)
	return nil
}
