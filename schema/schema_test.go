package schema_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-lb/sluice/pkg/objects"
	"github.com/sluice-lb/sluice/schema"
)

func TestDefault(t *testing.T) {
	s, problems, notes := objects.CheckSchema(schema.Default(), "default.yaml")
	if len(problems)+len(notes) > 0 {
		t.Fatal(problems, notes)
	}
	got := make(map[string]string)
	for _, typ := range s.Types() {
		raw, err := typ.Defaults(nil)
		if err != nil {
			t.Fatal(err)
		}
		got[typ.Name] = typ.Path + " " + string(raw)
	}
	want := map[string]string{
		"node":      `pools {"weight": 0, "pooled": "inactive"}`,
		"service":   `services {"default_values": {"pooled": "no", "weight": 0}, "datacenters": []}`,
		"discovery": `discovery {"pooled": false, "references": [], "ttl": 300}`,
		"geodns":    `geodns {"pooled": "yes", "weight": 100}`,
		"pool":      `pool-settings {"min_pooled": 0, "note": ""}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("types and defaults (-want +got):\n%s", diff)
	}
}

// The file says what is built in.
func TestNodeIsTheBuiltIn(t *testing.T) {
	s, err := objects.ParseSchema(schema.Default(), "default.yaml")
	if err != nil {
		t.Fatal(err)
	}
	node, _ := s.Type("node")
	if diff := cmp.Diff(objects.Node(), node); diff != "" {
		t.Errorf("node (-built-in +file):\n%s", diff)
	}
}
