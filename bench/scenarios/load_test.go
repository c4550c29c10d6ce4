package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestLoadIsAnOpenScheduleWithBoundedCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		began := map[string]time.Duration{}
		busy, most := 0, 0
		// Sequential in virtual time, but for the race detector's sake one lock.
		lock := make(chan struct{}, 1)
		send := func(text string) error {
			lock <- struct{}{}
			began[text] = time.Since(start)
			busy++
			most = max(most, busy)
			<-lock
			time.Sleep(time.Second)
			lock <- struct{}{}
			busy--
			<-lock
			return nil
		}
		// 10/s are offered, and 3 callers can do 3/s.
		l := &load{offered: 10, callers: 3, sends: []sendFunc{send}}
		l.run(ctx, start)
		if began["message 0"] != 0 || began["message 1"] != 100*time.Millisecond || began["message 2"] != 200*time.Millisecond {
			t.Errorf("the first began at %v, %v, %v; expected 0, 100ms, 200ms", began["message 0"], began["message 1"], began["message 2"])
		}
		if began["message 3"] != time.Second || most != 3 {
			t.Errorf("the fourth began at %v with at most %d under way, expected 1s and 3", began["message 3"], most)
		}
	})
}

func TestLoadDoesNotSpinWhenEverythingFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		failed := errors.New("failed")
		l := &load{offered: 10, callers: 60, sends: []sendFunc{func(string) error { return failed }}}
		l.run(ctx, time.Now())
		if n := l.lost.Load(); n < 100 || n > 101 {
			t.Errorf("%d lost in 10 s, expected those that were offered, 100", n)
		}
		if l.first != failed {
			t.Errorf("the first lost is %v", l.first)
		}
	})
}

func TestCallsThatAreCutAreNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		l := &load{offered: 10, callers: 5, sends: []sendFunc{func(string) error { <-ctx.Done(); return ctx.Err() }}}
		l.run(ctx, time.Now())
		if len(l.calls) > 0 || l.lost.Load() > 0 || l.first != nil {
			t.Errorf("calls are %v, %d lost, expected none", l.calls, l.lost.Load())
		}
	})
}

func TestClientsGetTheCallersInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		waiting := make(chan int, 10)
		send := func(who int) sendFunc {
			return func(string) error { waiting <- who; <-ctx.Done(); return ctx.Err() }
		}
		(&load{offered: 1, callers: 10, sends: []sendFunc{send(0), send(1)}}).run(ctx, time.Now())
		close(waiting)
		counts := map[int]int{}
		for who := range waiting {
			counts[who]++
		}
		if counts[0] != 5 || counts[1] != 5 {
			t.Errorf("callers are %v, expected 5 for each client", counts)
		}
	})
}
