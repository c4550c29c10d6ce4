package main

import (
	"slices"
	"testing"
)

func TestMissedNamesEachFigure(t *testing.T) {
	count := func(n int) *int { return &n }
	good := row{Scenario: "sliding-window", Client: "pacer", Messages: 200, Delivered: 200, Doubled: count(0), Requests: 200, Possible: 204}
	peer := row{Scenario: "sliding-window", Client: "twilio-go", Messages: 200, Delivered: 20, Lost: 180, Doubled: count(7), Throttled: 180, Requests: 200, Possible: 20}
	with := func(r row, change func(*row)) row { change(&r); return r }

	for _, tt := range []struct {
		name string
		rows []row
		want []string
	}{
		{"nothing", []row{peer, good}, nil},
		{"lost", []row{with(good, func(r *row) { r.Lost = 3 })}, []string{"sliding-window: pacer: 3 lost, expected 0"}},
		{"doubled", []row{with(good, func(r *row) { r.Doubled = count(1) })}, []string{"sliding-window: pacer: 1 doubled, expected 0"}},
		{"doubled unknown", []row{with(good, func(r *row) { r.Doubled = nil })}, []string{"sliding-window: pacer: doubled unknown, expected 0"}},
		{"throttled, just not", []row{with(good, func(r *row) { r.Throttled = 4 })}, nil},
		{"throttled", []row{with(good, func(r *row) { r.Throttled, r.Requests = 5, 205 })}, []string{"sliding-window: pacer: 5 of 205 requests throttled (2.4 %), expected at most 2 %"}},
		{"share", []row{with(good, func(r *row) { r.Possible = 250 })}, []string{"sliding-window: pacer: 80.0 % of the limit used, expected at least 95 %"}},
		{"a peer delivers more", []row{with(good, func(r *row) { r.Delivered = 19; r.Possible = 20 }), peer}, []string{"sliding-window: pacer: 19 delivered, expected no fewer than twilio-go's 20"}},
		{"a peer delivers more elsewhere", []row{with(good, func(r *row) { r.Delivered = 19; r.Possible = 20 }), with(peer, func(r *row) { r.Scenario = "strict" })}, nil},
		{"strict is about losses only", []row{with(good, func(r *row) { r.Scenario = "strict"; r.Throttled = 100; r.Possible = 1000 })}, nil},
		{"strict", []row{with(good, func(r *row) { r.Scenario = "strict"; r.Lost = 1; r.Doubled = count(2) })}, []string{"strict: pacer: 1 lost, expected 0", "strict: pacer: 2 doubled, expected 0"}},
		{"peers' own figures do not matter", []row{peer}, nil},
	} {
		if got := missed(tt.rows); !slices.Equal(got, tt.want) {
			t.Errorf("%s: missed %q, expected %q", tt.name, got, tt.want)
		}
	}
}
