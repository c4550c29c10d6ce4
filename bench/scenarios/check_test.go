package main

import (
	"slices"
	"testing"
)

func TestMissedNamesEachFigure(t *testing.T) {
	good := row{Scenario: "known", Client: "pacer", Possible: 1000, Accepted: 980, Requests: 984, Throttled: 4}
	peer := row{Scenario: "known", Client: "go-retryablehttp", Possible: 1000, Accepted: 989}
	with := func(r row, change func(*row)) row { change(&r); return r }
	elsewhere := func(r *row) { r.Scenario = "halves"; r.Accepted, r.Requests, r.Throttled = 900, 1000, 50 }

	for _, tt := range []struct {
		name string
		rows []row
		want []string
	}{
		{"nothing", []row{peer, good}, nil},
		{"lost", []row{with(good, func(r *row) { r.Lost = 3 })}, []string{"known: pacer: 3 lost, expected 0"}},
		{"doubled", []row{with(good, func(r *row) { r.Doubled = 1 })}, []string{"known: pacer: 1 doubled, expected 0"}},
		{"goodput", []row{with(good, func(r *row) { r.Accepted = 969 })}, []string{"known: pacer: 96.9 % of the possible, expected at least 97 %"}},
		{"throttled", []row{with(good, func(r *row) { r.Throttled = 6 })}, []string{"known: pacer: 6 of 984 requests throttled (0.61 %), expected at most 0.5 %"}},
		{"others ask for less, just", []row{with(good, elsewhere)}, nil},
		{"but for something", []row{with(with(good, elsewhere), func(r *row) { r.Accepted--; r.Throttled++ })}, []string{
			"halves: pacer: 89.9 % of the possible, expected at least 90 %",
			"halves: pacer: 51 of 1000 requests throttled (5.10 %), expected at most 5 %",
		}},
		{"beaten", []row{good, with(peer, func(r *row) { r.Accepted = 991 })}, []string{"known: pacer: beaten by go-retryablehttp: 99.1 % of the possible to 98.0 %, with nothing lost"}},
		{"not by one that loses", []row{good, with(peer, func(r *row) { r.Accepted = 1000; r.Lost = 1 })}, nil},
		{"not elsewhere", []row{good, with(peer, func(r *row) { r.Scenario = "unknown"; r.Accepted = 1000 })}, nil},
		{"not by others", []row{good, with(peer, func(r *row) { r.Client = "aws-adaptive"; r.Accepted = 1000 })}, nil},
		{"peers' own figures do not matter", []row{with(peer, func(r *row) { r.Lost = 7; r.Accepted = 0 })}, nil},
	} {
		if got := missed(tt.rows); !slices.Equal(got, tt.want) {
			t.Errorf("%s: missed %q, expected %q", tt.name, got, tt.want)
		}
	}
}
