package dataplane_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/sluice-lb/sluice/internal/dataplane"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errBroken = errors.New("broken")

// rig is a memory plane that can break, and a reconciler that runs on it.
type rig struct {
	t      *testing.T
	memory *dataplane.Memory
	rec    *dataplane.Reconciler
	log    *bytes.Buffer

	mu       sync.Mutex
	ops      []string
	reads    int
	failRead bool
	failOp   func(dataplane.Op) bool
	times    []time.Time
}

func newRig(t *testing.T, table dataplane.Table, opts ...dataplane.Option) *rig {
	r := &rig{t: t, log: new(bytes.Buffer)}
	r.memory = dataplane.NewMemory(table, dataplane.Hooks{Read: r.onRead, Op: r.onOp})
	r.rec = dataplane.NewReconciler(r.memory, slog.New(slog.NewTextHandler(r.log, nil)), opts...)
	return r
}

func (r *rig) onRead() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reads++
	if r.failRead {
		return errBroken
	}
	return nil
}

func (r *rig) onOp(op dataplane.Op) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, op.String())
	r.times = append(r.times, time.Now())
	if r.failOp != nil && r.failOp(op) {
		return errBroken
	}
	return nil
}

func (r *rig) failing(read bool, op func(dataplane.Op) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failRead, r.failOp = read, op
}

// seen returns the ops since it was last called.
func (r *rig) seen() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	ops := r.ops
	r.ops, r.times = nil, nil
	return ops
}

// run starts the reconciler and returns a function that stops it.
func (r *rig) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.rec.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("Run: %v", err)
		}
	}
}

// result waits until nothing moves and returns the result that is there.
func (r *rig) result() (dataplane.Result, bool) {
	synctest.Wait()
	select {
	case result := <-r.rec.Results():
		return result, true
	default:
		return dataplane.Result{}, false
	}
}

func (r *rig) want(version uint64, services ...dataplane.Service) dataplane.Result {
	r.t.Helper()
	r.rec.Set(dataplane.Wanted{Version: version, Table: dataplane.NewTable(services...)})
	return r.mustResult(version)
}

func (r *rig) mustResult(version uint64) dataplane.Result {
	r.t.Helper()
	result, ok := r.result()
	if !ok || result.Version != version {
		r.t.Fatalf("got result %v %+v, want version %d", ok, result, version)
	}
	return result
}

func (r *rig) holds(services ...dataplane.Service) {
	r.t.Helper()
	got, err := dataplane.Table(nil), error(nil)
	r.failing(false, nil)
	if got, err = r.memory.Read(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	sameTable(r.t, dataplane.NewTable(services...), got)
}

func sameTable(t *testing.T, want, got dataplane.Table) {
	t.Helper()
	if diff := cmp.Diff(want, got, equateAddrs(), cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("table (-want +got):\n%s", diff)
	}
}

func TestReconcilerAppliesWhatIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.run()()
		if _, ok := r.result(); ok || r.reads > 0 {
			t.Fatal("something happened before the first Set")
		}
		result := r.want(1, tcp(0, 1, 2))
		if result.Err != nil {
			t.Fatal(result.Err)
		}
		sameTable(t, dataplane.NewTable(tcp(0, 1, 2)), result.Table)
		r.holds(tcp(0, 1, 2))
		r.seen()

		reads := r.reads
		result = r.want(2, tcp(0, 1, 9), tcp(2, 1))
		sameTable(t, dataplane.NewTable(tcp(0, 1, 9), tcp(2, 1)), result.Table)
		if r.reads != reads {
			t.Error("the table was read again though nothing had failed")
		}
		r.want(3, tcp(2, 1))
		r.holds(tcp(2, 1))
		result = r.want(4)
		if result.Table == nil || len(result.Table) != 0 {
			t.Errorf("got %#v, want a table that is empty and not nil", result.Table)
		}
		r.holds()
	})
}

func TestReconcilerRestartIssuesNoOps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := dataplane.NewTable(tcp(0, 1, 2), tcp(1, 3))
		r := newRig(t, table)
		defer r.run()()
		result := r.want(1, tcp(0, 1, 2), tcp(1, 3))
		if result.Err != nil {
			t.Fatal(result.Err)
		}
		sameTable(t, table, result.Table)
		if ops := r.seen(); len(ops) > 0 {
			t.Errorf("ops on a plane that was as wanted: %q", ops)
		}
	})
}

func TestReconcilerLeavesStraysAndHeldAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stray, held := tcp(4, 5), tcp(2, 7)
		r := newRig(t, dataplane.NewTable(stray, held))
		defer r.run()()
		r.rec.Set(dataplane.Wanted{Version: 1, Table: dataplane.NewTable(tcp(0, 1)), Hold: []dataplane.ServiceID{held.ID, tcp(3).ID}})
		result := r.mustResult(1)
		sameTable(t, dataplane.NewTable(tcp(0, 1), held), result.Table)
		if diff := cmp.Diff([]dataplane.ServiceID{stray.ID}, result.Strays, equateAddrs()); diff != "" {
			t.Errorf("strays (-want +got):\n%s", diff)
		}
		r.holds(tcp(0, 1), held, stray)

		// Heard of: from now on it is wanted differently, then not at all.
		result = r.want(2, tcp(0, 1), tcp(2, 8))
		sameTable(t, dataplane.NewTable(tcp(0, 1), tcp(2, 8)), result.Table)
		result = r.want(3, tcp(0, 1))
		sameTable(t, dataplane.NewTable(tcp(0, 1)), result.Table)
		r.holds(tcp(0, 1), stray)
	})
}

func TestReconcilerLatestWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		for v := range 5 {
			r.rec.Set(dataplane.Wanted{Version: uint64(v), Table: dataplane.NewTable(tcp(0, v))})
		}
		r.rec.Set(dataplane.Wanted{Version: 3, Table: dataplane.NewTable(tcp(1, 1))})
		defer r.run()()
		r.mustResult(4)
		if diff := cmp.Diff([]string{"-A -t 192.0.2.0:80 -s wrr", "-a -t 192.0.2.0:80 -r 10.0.0.0:8080 -w 4"}, r.seen()); diff != "" {
			t.Errorf("ops (-want +got):\n%s", diff)
		}
		// A reader that was away finds the newest result and no other.
		for v := range 5 {
			r.rec.Set(dataplane.Wanted{Version: uint64(v) + 10, Table: dataplane.NewTable(tcp(0, v+10))})
			synctest.Wait()
		}
		r.mustResult(14)
		if result, ok := r.result(); ok {
			t.Errorf("one more result: %+v", result)
		}
	})
}

// No Set is lost that comes while the plane is busy.
func TestReconcilerHearsWhileBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.failing(false, func(dataplane.Op) bool { time.Sleep(time.Second); return false })
		defer r.run()()
		r.rec.Set(dataplane.Wanted{Version: 1, Table: dataplane.NewTable(tcp(0, 1))})
		synctest.Wait()
		r.rec.Set(dataplane.Wanted{Version: 2, Table: dataplane.NewTable(tcp(0, 2))})
		time.Sleep(10 * time.Second)
		r.mustResult(2)
		r.holds(tcp(0, 2))
	})
}

func TestReconcilerRetriesWithBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.failing(false, func(op dataplane.Op) bool { return op.Verb == dataplane.AddService })
		defer r.run()()
		result := r.want(1, tcp(0))
		if !errors.Is(result.Err, errBroken) || !strings.Contains(result.Err.Error(), vip(0).String()) {
			t.Errorf("got error %v, want one that names the service", result.Err)
		}
		if result.Table == nil || len(result.Table) != 0 {
			t.Errorf("got table %v, want what was read back: nothing", result.Table)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		var gaps []time.Duration
		for i, at := range r.times[1:] {
			gaps = append(gaps, at.Sub(r.times[i]))
		}
		const ms = time.Millisecond
		want := []time.Duration{50 * ms, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 5000 * ms}
		if diff := cmp.Diff(want, gaps[:len(want)]); diff != "" {
			t.Errorf("delays (-want +got):\n%s", diff)
		}
		if n := strings.Count(r.log.String(), "retrying"); n != 1 {
			t.Errorf("trouble was logged %d times:\n%s", n, r.log)
		}
		r.failing(false, nil)
		time.Sleep(5 * time.Second)
		if result := r.mustResult(1); result.Err != nil {
			t.Error(result.Err)
		}
		r.holds(tcp(0))
	})
}

func TestReconcilerTriesNewsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.failing(false, func(dataplane.Op) bool { return true })
		defer r.run()()
		r.want(1, tcp(0))
		time.Sleep(20 * time.Second) // the next retry is seconds away
		r.failing(false, nil)
		start := time.Now()
		if result := r.want(2, tcp(0, 1)); result.Err != nil {
			t.Fatal(result.Err)
		}
		if waited := time.Since(start); waited > 0 {
			t.Errorf("waited %s", waited)
		}
		r.holds(tcp(0, 1))
	})
}

// The delay grows within one trouble, not from one to the next.
func TestReconcilerForgetsOldTrouble(t *testing.T) {
	for _, test := range []struct {
		name string
		next func(r *rig)
	}{
		{"something new is wanted", func(r *rig) { r.want(2, tcp(2)) }},
		{"all was well between", func(r *rig) {
			r.failing(false, nil)
			time.Sleep(5 * time.Second)
			r.mustResult(1)
			if err := r.memory.Apply(context.Background(), dataplane.Plan{{Verb: dataplane.RemoveService, Service: tcp(0)}}); err != nil {
				r.t.Fatal(err)
			}
			r.failing(false, func(dataplane.Op) bool { return true })
			r.seen()
			for len(r.seen()) == 0 { // until the drift is noticed
				time.Sleep(time.Millisecond)
				synctest.Wait()
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.failing(false, func(dataplane.Op) bool { return true })
				defer r.run()()
				r.want(1, tcp(0))
				time.Sleep(20 * time.Second)
				test.next(r)
				r.seen()
				time.Sleep(51 * time.Millisecond)
				synctest.Wait()
				if len(r.seen()) == 0 {
					t.Error("no retry within 50 ms")
				}
			})
		})
	}
}

// One destination fails: the rest is done, and the result tells the truth.
func TestReconcilerReadsBackAfterFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.failing(false, func(op dataplane.Op) bool { return op.Destination.Addr == backend(1) })
		defer r.run()()
		result := r.want(1, tcp(0, 1, 1, 1))
		want := tcp(0, 1, 1, 1)
		want.Destinations = append(want.Destinations[:1:1], want.Destinations[2])
		sameTable(t, dataplane.NewTable(want), result.Table)
		if result.Err == nil {
			t.Error("no error")
		}
		r.seen()
		r.failing(false, nil)
		time.Sleep(50 * time.Millisecond)
		r.mustResult(1)
		if diff := cmp.Diff([]string{"-a -t 192.0.2.0:80 -r 10.0.0.1:8080 -w 1"}, r.seen()); diff != "" {
			t.Errorf("ops (-want +got):\n%s", diff)
		}
	})
}

// A plane that cannot be read is not an empty one.
func TestReconcilerReadErrorIsNotEmptiness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, dataplane.NewTable(tcp(0, 1)))
		r.failing(true, nil)
		defer r.run()()
		result := r.want(1, tcp(0, 1), tcp(2, 1))
		if !errors.Is(result.Err, errBroken) || result.Table != nil {
			t.Errorf("got %+v, want an error and no table", result)
		}
		if ops := r.seen(); len(ops) > 0 {
			t.Errorf("ops on a plane nobody has seen: %q", ops)
		}
		r.failing(false, nil)
		time.Sleep(50 * time.Millisecond)
		if result := r.mustResult(1); result.Err != nil {
			t.Error(result.Err)
		}

		// Later the last known table stands, and still nothing is done.
		r.seen()
		r.failing(true, nil)
		time.Sleep(30 * time.Second)
		result = r.mustResult(1)
		sameTable(t, dataplane.NewTable(tcp(0, 1), tcp(2, 1)), result.Table)
		if result.Err == nil {
			t.Error("no error from a plane that cannot be read")
		}
		if result := r.want(2, tcp(0, 5)); result.Err == nil || len(r.seen()) > 0 {
			t.Error("went ahead without knowing the table")
		}
	})
}

func TestReconcilerRepairsDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.run()()
		r.want(1, tcp(0, 1, 2))
		time.Sleep(65 * time.Second)
		if result, ok := r.result(); ok {
			t.Errorf("result though nothing happened: %+v", result)
		}
		if err := r.memory.Apply(t.Context(), dataplane.Plan{
			{Verb: dataplane.RemoveDestination, Service: tcp(0), Destination: tcp(0, 1).Destinations[0]},
			{Verb: dataplane.AddService, Service: tcp(4)},
		}); err != nil {
			t.Fatal(err)
		}
		r.seen()
		time.Sleep(30 * time.Second)
		result := r.mustResult(1)
		sameTable(t, dataplane.NewTable(tcp(0, 1, 2)), result.Table)
		if diff := cmp.Diff([]dataplane.ServiceID{tcp(4).ID}, result.Strays, equateAddrs()); diff != "" {
			t.Errorf("strays (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"-a -t 192.0.2.0:80 -r 10.0.0.0:8080 -w 1"}, r.seen()); diff != "" {
			t.Errorf("ops (-want +got):\n%s", diff)
		}
		if !strings.Contains(r.log.String(), "drifted") {
			t.Errorf("drift was not logged:\n%s", r.log)
		}
	})
}

func TestReconcilerOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, dataplane.WithRepair(0), dataplane.WithBackoff(0, 0))
		r.failing(false, func(dataplane.Op) bool { return true })
		defer r.run()()
		r.want(1, tcp(0))
		r.seen()
		time.Sleep(10*time.Millisecond + time.Microsecond)
		synctest.Wait()
		if n := len(r.seen()); n != 10 {
			t.Errorf("%d tries within 10 ms, want one in every", n)
		}
		r.failing(false, nil)
		time.Sleep(time.Second)
		reads := r.reads
		time.Sleep(time.Hour)
		if r.reads != reads {
			t.Error("table was read though repair is off")
		}
	})
}

// step is a moment in the life of a reconciler.
type step struct {
	failRead bool
	failNth  int // every nth op fails; 0 for none
	news     bool
	table    dataplane.Table
	wait     time.Duration
}

func drawStep(t *rapid.T) step {
	s := step{
		failRead: rapid.Bool().Draw(t, "read fails"),
		failNth:  rapid.IntRange(0, 3).Draw(t, "every nth op fails"),
		news:     rapid.Bool().Draw(t, "new table"),
		wait:     time.Duration(rapid.IntRange(0, 40_000).Draw(t, "ms")) * time.Millisecond,
	}
	if s.news {
		s.table = drawTable(t)
	}
	return s
}

// Whatever is set and whatever fails: once failures stop the plane holds the
// last table set, and what it held for others.
func TestReconcilerGetsThere(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(drawStep), 1, 8).Draw(rt, "steps")
		var trouble string
		synctest.Test(t, func(t *testing.T) { trouble = live(t, steps) })
		if trouble != "" {
			rt.Fatal(trouble)
		}
	})
}

// live goes through the steps and a quiet minute, and returns what is wrong
// then.
func live(t *testing.T, steps []step) string {
	stray := tcp(99, 1)
	r := newRig(t, dataplane.NewTable(stray))
	defer r.run()()
	var table dataplane.Table
	var version uint64
	for _, s := range steps {
		n := 0
		r.failing(s.failRead, func(dataplane.Op) bool { n++; return s.failNth > 0 && n%s.failNth == 0 })
		if s.news {
			version++
			table = s.table
			r.rec.Set(dataplane.Wanted{Version: version, Table: table})
		}
		time.Sleep(s.wait)
	}
	r.failing(false, nil)
	time.Sleep(time.Minute)
	result, heard := r.result()
	got, err := r.memory.Read(context.Background())
	want := dataplane.NewTable(append([]dataplane.Service{stray}, table...)...)
	switch {
	case err != nil:
		return err.Error()
	case !got.Equal(want):
		return "table (-want +got):\n" + cmp.Diff(want, got, equateAddrs())
	case version == 0 && heard:
		return fmt.Sprintf("result of nothing: %+v", result)
	case version > 0 && (result.Version != version || result.Err != nil || !result.Table.Equal(table)):
		return fmt.Sprintf("got result %v %+v, want version %d", heard, result, version)
	}
	return ""
}
