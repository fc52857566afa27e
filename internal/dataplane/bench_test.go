package dataplane_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"testing"

	"github.com/sluice-lb/sluice/internal/dataplane"
)

// BenchmarkReconcilerOneEdit is the time from Set to Result when one weight of
// one service changes and its owner has left the others as they were.
func BenchmarkReconcilerOneEdit(b *testing.B) {
	for _, n := range []int{10, 1000} {
		b.Run(fmt.Sprintf("services=%d", n), func(b *testing.B) { oneEdit(b, n) })
	}
}

func oneEdit(b *testing.B, n int) {
	var services []dataplane.Service
	for i := range n {
		s := tcp(0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
		s.ID.VIP = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 80)
		services = append(services, s)
	}
	table := dataplane.NewTable(services...)
	r := dataplane.NewReconciler(dataplane.NewMemory(table, dataplane.Hooks{}), slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	defer func() { cancel(); <-done }()

	// Two tables that differ in one weight and share the rest.
	other := slices.Clone(table)
	other[n/2].Destinations = slices.Clone(other[n/2].Destinations)
	other[n/2].Destinations[3].Weight = 2
	tables := [2]dataplane.Table{table, other}
	version := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		version++
		r.Set(dataplane.Wanted{Version: version, Table: tables[version%2]})
		if result := <-r.Results(); result.Err != nil || result.Version != version {
			b.Fatalf("got %d %v, want version %d", result.Version, result.Err, version)
		}
	}
}
