package main

import (
	"slices"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/bench/internal/storm"
)

func TestMissedNamesEachRule(t *testing.T) {
	noisy, plain, whole := &row{name: "noise", noise: 0.05}, &row{name: "row"}, &row{name: "whole", whole: true}
	much, mixed := &row{name: "much", noise: 0.1}, &row{name: "mixed", noise: 0.01, limited: true}
	one := &row{name: "one", shared: true, asOne: true}
	make := func(r *row, client string, change func(*cell)) cell {
		c := cell{Row: r.name, Client: client, row: r, Result: storm.Result{Possible: 1000, Accepted: 950, Throttled: 50, Noise: 50, Calls: 1000, HasTrouble: true}}
		if change != nil {
			change(&c)
		}
		return c
	}
	accepted := func(n int) func(*cell) { return func(c *cell) { c.Accepted = n } }
	for _, tt := range []struct {
		name  string
		cells []cell
		want  []string
	}{
		{"nothing", []cell{make(noisy, learning, nil), make(noisy, notLearning, accepted(960)), make(plain, learning, nil)}, nil},
		{"just enough in noise", []cell{make(noisy, learning, func(c *cell) { c.Accepted, c.Throttled = 945, 54 })}, nil},
		{"too little in noise", []cell{make(noisy, learning, func(c *cell) { c.Accepted, c.Throttled = 899, 50 })}, []string{"noise: pacer: noise: 89.9 % of the possible, expected at least 90 %"}},
		{"enough in much noise", []cell{make(much, learning, accepted(800))}, nil},
		{"too little in much noise", []cell{make(much, learning, accepted(799))}, []string{"much: pacer: noise: 79.9 % of the possible, expected at least 80 %"}},
		{"throttled too much", []cell{make(noisy, learning, func(c *cell) { c.Throttled = 60 })}, []string{"noise: pacer: noise: 0.99 % of the requests throttled beside what was refused at random, expected at most 0.5 %"}},
		{"by a limit as well", []cell{make(mixed, learning, func(c *cell) { c.Throttled = 100 })}, nil},
		{"rule 1, share", []cell{make(plain, learning, nil), make(plain, notLearning, accepted(961))}, []string{"row: pacer: rule 1: 95.0 % of the possible, and pacer, learning off reaches 96.1 % and loses as little (0, and 0)"}},
		{"not if it loses more", []cell{make(plain, learning, nil), make(plain, notLearning, func(c *cell) { c.Accepted, c.Lost = 980, 2 })}, nil},
		{"rule 1, losses", []cell{make(plain, learning, func(c *cell) { c.Lost = 11 }), make(plain, notLearning, nil)}, []string{"row: pacer: rule 1: 1.10 % of the calls lost, and 0.00 % without learning"}},
		{"rule 2", []cell{make(plain, learning, func(c *cell) { c.HalfCool, c.MostCool = 61*time.Second, storm.Never })}, []string{
			"row: pacer: rule 2: half of the old rate 61 s after the cool-down, expected within 60 s",
			"row: pacer: rule 2: 95 % of the old rate never after the cool-down, expected within 3.0 min",
		}},
		{"no rule 2 without a trouble", []cell{make(plain, learning, func(c *cell) { c.HalfCool, c.HasTrouble = storm.Never, false })}, nil},
		{"rule 3, without learning too", []cell{make(plain, notLearning, func(c *cell) { c.Head = 31 * time.Second })}, []string{"row: pacer, learning off: rule 3: the head of a line has waited 31 s beyond its cool-down, expected at most 30 s"}},
		{"others", []cell{make(plain, learning, func(c *cell) { c.Others = 1.11 })}, []string{"row: pacer: others: their mean wait is 1.11 times that without the trouble, expected at most 1.1"}},
		{"whole", []cell{make(whole, learning, func(c *cell) { c.Throttled = 51 })}, []string{"whole: pacer: whole: 5.09 % of the requests throttled, expected at most 5 %"}},
		{"a peer", []cell{make(plain, "aws-adaptive", accepted(961)), make(plain, learning, nil)}, []string{"row: pacer: peers: 95.0 % of the possible, and aws-adaptive reaches 96.1 % and loses as little (0, and 0)"}},
		{"not beyond the possible", []cell{make(plain, "aws-adaptive", accepted(1100)), make(plain, learning, accepted(991))}, nil},
		{"not in another row", []cell{make(whole, "aws-adaptive", accepted(1000)), make(plain, learning, nil)}, nil},
		{"several processes", []cell{make(one, learning, nil), make(one, together, accepted(903))}, nil},
		{"several processes that may be behind", []cell{make(plain, learning, nil), make(plain, together, accepted(500))}, nil},
		{"several processes, too little", []cell{make(one, learning, nil), make(one, together, func(c *cell) { c.Accepted, c.Throttled, c.Starved = 902, 60, 21 })}, []string{
			"one: pacer: together: eight processes reach 90.2 % of the possible, one 95.0 %: expected 95 % of that",
			"one: pacer: together: 6.24 % of the requests of eight processes throttled, 5.00 % of those of one: expected at most 0.5 % more",
			"one: pacer: together: 21 tokens for each caller while one had fewer than five: expected at most 20",
		}},
		{"peers' own figures do not matter", []cell{make(plain, "aws-adaptive", func(c *cell) { c.Head, c.HalfCool, c.Accepted = time.Hour, storm.Never, 1 })}, nil},
	} {
		if got := missed(tt.cells); !slices.Equal(got, tt.want) {
			t.Errorf("%s: missed\n%q\nexpected\n%q", tt.name, got, tt.want)
		}
	}
}
