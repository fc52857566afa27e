package health

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-lb/sluice/internal/lb"
)

// states spells results: u up, d down, ? unknown.
func states(results []result) string {
	var text strings.Builder
	for _, r := range results {
		text.WriteByte("?ud"[r.state])
	}
	return text.String()
}

func TestDamper(t *testing.T) {
	for _, tt := range []struct {
		rise, fall  int
		heard, want string
	}{
		{1, 1, "udu?d", "udu?d"},
		{1, 3, "uddudddu", "uuuuuudu"},
		{3, 1, "duuduuuu", "dddddduu"},
		{2, 2, "dud", "ddd"},
		{2, 3, "ud?dd", "uu?ud"}, // trouble of our own counts for neither side
		{3, 3, "u", "u"},         // the first result at once
		{3, 3, "?d", "?d"},
	} {
		d := damper{rise: tt.rise, fall: tt.fall}
		var got []result
		for _, c := range tt.heard {
			got = append(got, d.take(result{state: lb.State(strings.IndexRune("?ud", c))}))
		}
		if s := states(got); s != tt.want {
			t.Errorf("rise %d, fall %d: %s became %s, want %s", tt.rise, tt.fall, tt.heard, s, tt.want)
		}
	}
}

// A belief changes only when the last results, as many as are asked for, all
// say so.
func TestDamperNeedsAStreak(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := damper{rise: rapid.IntRange(1, 5).Draw(t, "rise"), fall: rapid.IntRange(1, 5).Draw(t, "fall")}
		var heard string
		var before lb.State
		for range rapid.IntRange(1, 60).Draw(t, "results") {
			r := result{state: rapid.SampledFrom([]lb.State{lb.Up, lb.Down}).Draw(t, "result")}
			heard += states([]result{r})
			after := d.take(r).state
			n := d.needed(after)
			if after != before && before != lb.Unknown && !strings.HasSuffix(heard, strings.Repeat(string("?ud"[after]), n)) {
				t.Fatalf("%s made it %v with rise %d and fall %d", heard, after, d.rise, d.fall)
			}
			if m := d.needed(r.state); after != r.state && strings.HasSuffix(heard, strings.Repeat(string("?ud"[r.state]), m)) {
				t.Fatalf("%s left it %v with rise %d and fall %d", heard, after, d.rise, d.fall)
			}
			before = after
		}
	})
}
