package main

import (
	"slices"
	"testing"
)

func TestMissedNamesEachFigure(t *testing.T) {
	good := func() row {
		return row{
			Engine: "pacer", Enqueue: rounds{10, 2000}, Batched: rounds{40_000}, Work: rounds{800, 700},
			ClaimFew: rounds{90, 100}, ClaimMany: rounds{180, 500},
			Memory: []memory{
				{full.Few, 1 << 20, 0, 10, 100},
				{amount{10_000, 10_000}, 10 << 20, 0, 300, 100},
				{full.Many, 14 << 20, 0, 323, 100},
			},
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*row)
		want   []string
	}{
		{"nothing, just", func(*row) {}, nil},
		{"enqueue", func(r *row) { r.Enqueue = rounds{1998, 1999} }, []string{"pacer: enqueue: 1,999/s, expected at least 2,000/s"}},
		{"batched", func(r *row) { r.Batched = rounds{39_999} }, []string{"pacer: batched: 39,999/s, expected at least 40,000/s"}},
		{"work", func(r *row) { r.Work = rounds{799} }, []string{"pacer: work: 799/s, expected at least 800/s"}},
		{"claim", func(r *row) { r.ClaimMany = rounds{189} }, []string{"pacer: claim: 189 µs with 1,000,000 waiting, 2.1 times that with 1,000, expected at most 2 times"}},
		{"heap", func(r *row) { r.Memory[2].Heap++ }, []string{"pacer: memory: a heap of 14.0 MB with 1,000,000 waiting, 10.0 MB with 10,000 in as many lanes, expected at most 14.0 MB"}},
		{"goroutines", func(r *row) { r.Memory[2].Goroutines++ }, []string{"pacer: memory: 324 goroutines with 1,000,000 waiting, 300 with 10,000 in as many lanes, expected at most 323"}},
		{"not what was not measured", func(r *row) { *r = row{Engine: "pacer"} }, nil},
		{"nothing of peers", func(r *row) { r.Engine, r.Work = "river", rounds{1} }, nil},
	} {
		r := good()
		tt.change(&r)
		if got := missed([]row{r}, full); !slices.Equal(got, tt.want) {
			t.Errorf("%s: missed %q, expected %q", tt.name, got, tt.want)
		}
	}
}
