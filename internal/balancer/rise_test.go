package balancer

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-lb/sluice/internal/dataplane"
	"github.com/sluice-lb/sluice/internal/lb"
)

// slow is web with a slow start of ten seconds.
func slow() lb.Service {
	svc := web
	svc.SlowStart = 10 * time.Second
	return svc
}

func (r *rig) declare(services ...lb.Service) {
	r.engine.Declare(r.ctx, services)
	synctest.Wait()
}

func (r *rig) judge(host string, state lb.State) {
	r.engine.Judge(r.ctx, Judgement{Service: web.Name, Host: host, Verdict: lb.Verdict{State: state}})
	synctest.Wait()
}

func (r *rig) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// A server that comes back gets its weight little by little; those that were
// there keep theirs, and a cold start has nobody to take the load meanwhile.
func TestSlowStart(t *testing.T) {
	run(t, dataplane.NewMemory(nil, dataplane.Hooks{}), func(r *rig) {
		r.declare(slow())
		r.hear(10, "s1 100", "s2 100", "s3 100")
		r.up("s1", "s2", "s3")
		r.wantTable("s1 100", "s2 100", "s3 100")
		r.judge("s1", lb.Down)
		r.wantTable("s2 100", "s3 100")
		r.pass(500 * time.Millisecond) // the engine looks at full seconds
		r.judge("s1", lb.Up)
		r.wantTable("s1 1", "s2 100", "s3 100")
		if rep := r.report(); rep.Applied != 10 || rep.Members[0].Rising != 1 || rep.Members[0].Weight != 100 || rep.Members[1].Rising != 0 {
			t.Errorf("report %+v", rep)
		}
		r.pass(3 * time.Second)
		r.wantTable("s1 25", "s2 100", "s3 100")
		r.hear(11, "s1 200", "s2 100", "s3 100") // an edit on the way
		r.wantTable("s1 60", "s2 100", "s3 100")
		if rep := r.report(); rep.Applied != 11 || rep.Members[0].Rising != 60 {
			t.Errorf("report %+v", rep)
		}
		r.pass(8 * time.Second)
		r.wantTable("s1 200", "s2 100", "s3 100")
		if rep := r.report(); rep.Members[0].Rising != 0 {
			t.Errorf("still on its way: %+v", rep.Members[0])
		}
	})
}

// Pooled again, given weight again, and new: all begin low. One that goes while
// on its way begins anew.
func TestSlowStartOfWhoComes(t *testing.T) {
	run(t, dataplane.NewMemory(nil, dataplane.Hooks{}), func(r *rig) {
		r.declare(slow())
		r.hear(10, "s1 100", "s2 0", "s3 no")
		r.up("s1", "s2", "s3")
		r.wantTable("s1 100", "s2 0")
		r.hear(11, "s1 100", "s2 100", "s3 100", "s4 100")
		r.up("s4")
		r.wantTable("s1 100", "s2 1", "s3 1", "s4 1")
		r.pass(5500 * time.Millisecond)
		r.wantTable("s1 100", "s2 50", "s3 50", "s4 50")
		r.judge("s4", lb.Down)
		r.judge("s4", lb.Up)
		r.wantTable("s1 100", "s2 55", "s3 55", "s4 1")
		r.hear(12, "s1 100", "s2 100", "s3 1", "s4 100") // a weight of 1 is where it begins
		r.wantTable("s1 100", "s2 55", "s3 1", "s4 1")
		r.declare(web) // a reload without slow start
		r.wantTable("s1 100", "s2 100", "s3 1", "s4 100")
	})
}

// A restart over a table finds who served: nobody has come.
func TestSlowStartAfterRestart(t *testing.T) {
	plane := dataplane.NewMemory(dataplane.NewTable(tableOf(web, "s1 100")), dataplane.Hooks{})
	run(t, plane, func(r *rig) {
		r.declare(slow())
		r.hear(10, "s1 100", "s2 100")
		r.up("s1", "s2")
		r.wantTable("s1 100", "s2 1")
	})
}
