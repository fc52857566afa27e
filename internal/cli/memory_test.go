package cli

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPoolGivesBackTheDrainedWeight(t *testing.T) {
	w := newWorld(t, startEtcd(t), map[string]string{"pools/eqiad/cache_text/https/cp1001": `{"weight": 10, "pooled": "yes"}`})
	if got := w.run(Drain); got.code != 0 {
		t.Fatal(got)
	}
	if got := w.run(Depool); got.code != 0 {
		t.Fatal(got)
	}
	got := w.run(Pool)
	want := "Pooling all services on cp1001\n" +
		"eqiad/cache_text/https/cp1001: pooled changed no => yes\n" +
		"eqiad/cache_text/https/cp1001: weight changed 0 => 10\n"
	if diff := cmp.Diff(want, got.stdout); diff != "" || got.code != 0 {
		t.Errorf("exit %d, stdout (-want +got):\n%s%s", got.code, diff, got.stderr)
	}
	// confctl's own verbs do the same.
	w.run(Confctl, "drain", "--hostname", "cp1001")
	w.run(Confctl, "pool", "--hostname", "cp1001")
	w.wants(nil, map[string]string{"pools/eqiad/cache_text/https/cp1001": `{"weight": 10, "pooled": "yes"}`})
}
