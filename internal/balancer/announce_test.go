package balancer

import (
	"net/netip"
	"testing"

	"github.com/sluice-lb/sluice/internal/dataplane"
	"github.com/sluice-lb/sluice/internal/lb"
)

func (r *rig) wantAnnounced(want bool) {
	r.t.Helper()
	if got := len(r.routes.get()) > 0; got != want {
		r.t.Errorf("routes %v, want some: %t", r.routes.get(), want)
	}
	if got := r.report().Announced; got != want {
		r.t.Errorf("reported as announced: %t, want %t", got, want)
	}
}

// Under the low watermark the address is withdrawn, although the table still has
// servers: held ones, that are down.
func TestLowWatermark(t *testing.T) {
	run(t, dataplane.NewMemory(nil, dataplane.Hooks{}), func(r *rig) {
		low := web
		low.LowWatermark = 2
		r.declare(low)
		r.hear(10, "s1 10", "s2 10", "s3 10")
		r.wantAnnounced(true) // nobody has been probed yet, and unknown is not down
		r.up("s1", "s2", "s3")
		r.judge("s1", lb.Down)
		r.wantAnnounced(true)
		if rep := r.report(); rep.Fit != 2 || rep.LowWatermark != 2 {
			t.Errorf("report %+v", rep)
		}
		r.judge("s2", lb.Down) // held by the threshold: the table does not change
		r.wantTable("s2 10", "s3 10")
		r.wantAnnounced(false)
		r.judge("s2", lb.Up)
		r.wantAnnounced(true)
		r.hear(11, "s1 10", "s2 0", "s3 10") // drained
		r.wantAnnounced(false)
		r.declare(web)
		r.wantAnnounced(true)
	})
}

// Services on one address share its fate.
func TestLowWatermarkOfANeighbour(t *testing.T) {
	run(t, dataplane.NewMemory(nil, dataplane.Hooks{}), func(r *rig) {
		tls := web
		tls.Name, tls.LowWatermark = "tls", 1
		tls.VIP = netip.MustParseAddrPort("192.0.2.1:443")
		r.declare(web, tls)
		r.hear(10, "s1 10")
		r.wantAnnounced(false) // nothing is known of the other one
		r.engine.Hear(r.ctx, lb.Heard{Service: "tls", Pool: pool(11, "s1 10"), Revision: 11})
		r.pass(0)
		r.wantAnnounced(true)
		r.engine.Judge(r.ctx, Judgement{Service: "tls", Host: "s1", Verdict: lb.Verdict{State: lb.Down}})
		r.pass(0)
		r.wantAnnounced(false)
		r.declare(web)
		r.wantAnnounced(true)
	})
}
