package main

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer/twiliotest"
)

func TestAccount(t *testing.T) {
	start := time.Now()
	at := func(status int, seconds ...float64) []twiliotest.Request {
		var rs []twiliotest.Request
		for _, s := range seconds {
			rs = append(rs, twiliotest.Request{Time: start.Add(time.Duration(s * float64(time.Second))), Status: status})
		}
		return rs
	}
	ended := func(end, took float64, lost bool) call {
		return call{end: time.Duration(end * float64(time.Second)), took: time.Duration(took * float64(time.Second)), lost: lost}
	}
	// Changed at 10 and at 30; measured from 20 to 30 and from 40 to 50.
	ws := scenario{phases: []phase{{rate: 9}, {row: "a", rate: 20}, {row: "b", rate: 10}}}.
		windows(timing{converge: 10 * time.Second, measure: 10 * time.Second})

	rows := account(ws, start,
		[]call{
			ended(1, 1, true), // lost while it adapts to the first limit: a's
			ended(19.9, 9, false), ended(20, 2, false), ended(29.9, 3, true),
			ended(30, 8, true), // b's, though not in its window
			ended(45, 4, false), ended(50.1, 9, true),
		},
		at(http.StatusCreated, 5, 19.9, 20, 25, 29.9, 30, 40, 49.9, 50),
		slices.Concat(at(http.StatusTooManyRequests, 19, 21, 22, 31, 41), at(http.StatusUnauthorized, 23)),
		at(http.StatusCreated, 2, 31, 32, 51),
	)
	want := []row{
		{Scenario: "a", Possible: 200, Accepted: 3, Requests: 6, Throttled: 2, P99: 3, Lost: 2, Doubled: 1},
		{Scenario: "b", Possible: 100, Accepted: 2, Requests: 3, Throttled: 1, P99: 4, Lost: 2, Doubled: 3},
	}
	if !slices.Equal(rows, want) {
		t.Errorf("rows are\n%+v, expected\n%+v", rows, want)
	}
}

func TestSharesOfNothing(t *testing.T) {
	if r := (row{}); r.goodput() != 0 || r.throttledShare() != 0 {
		t.Errorf("shares are %v and %v, expected 0", r.goodput(), r.throttledShare())
	}
}
