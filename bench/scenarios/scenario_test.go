package main

import (
	"slices"
	"testing"
	"time"
)

func TestPossible(t *testing.T) {
	for _, tt := range []struct {
		phase phase
		want  float64
	}{
		{phase{rate: 20}, 20},
		{phase{inFlight: 10, latency: 50 * time.Millisecond}, 200},
		{phase{inFlight: 10, latency: 200 * time.Millisecond}, 50},
	} {
		if got := tt.phase.possible(); got != tt.want {
			t.Errorf("%+v: %v/s possible, expected %v", tt.phase, got, tt.want)
		}
	}
}

func TestOffered(t *testing.T) {
	want := map[string]float64{"known": 30, "unknown": 30, "halves": 30, "doubles": 60, "two-processes": 30, "in-flight": 300}
	for _, s := range scenarios {
		if got := s.offered(); got != want[s.name] {
			t.Errorf("%s: %v/s offered, expected %v", s.name, got, want[s.name])
		}
	}
}

// What is said of the time it takes, here and in the README, is true.
func TestLength(t *testing.T) {
	if got := total(scenarios, full); got != 390*time.Second {
		t.Errorf("%v in all, expected 6m30s", got)
	}
	if got := total(scenarios, short); got >= time.Minute {
		t.Errorf("%v in all with -short, expected less than a minute", got)
	}
}

func TestWindows(t *testing.T) {
	s := scenario{phases: []phase{{rate: 20}, {row: "a", rate: 10}, {row: "b", rate: 5}}}
	ws := s.windows(timing{converge: 3 * time.Second, measure: 7 * time.Second})
	for i, want := range [][2]time.Duration{{3, 3}, {6, 13}, {16, 23}} {
		if ws[i].from != want[0]*time.Second || ws[i].to != want[1]*time.Second || ws[i].rate != s.phases[i].rate {
			t.Errorf("window %d is %+v, expected %v s", i, ws[i], want)
		}
	}
}

func TestBatches(t *testing.T) {
	var got []int
	for _, b := range batches(scenarios) {
		got = append(got, len(b))
	}
	if !slices.Equal(got, []int{2, 3, 1}) {
		t.Errorf("batches are of %v scenarios, expected 2, 3 and 1", got)
	}
	if bs := batches(scenarios[5:]); len(bs) != 1 || bs[0][0].name != "in-flight" {
		t.Errorf("batches are %v, expected the in-flight scenario by itself", bs)
	}
}

func TestStaggeredWithinASecond(t *testing.T) {
	if a, b := stagger(0, 10), stagger(9, 10); a != 0 || b != 900*time.Millisecond {
		t.Errorf("first and last of ten start after %v and %v, expected 0 and 900ms", a, b)
	}
}
