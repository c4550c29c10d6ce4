package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// A trouble takes turns with times in which all is right, and ends in one of those.
func TestTroubleComesAndGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, ended := 0, 0
		tr := trouble{
			begin: func() error { begun++; return nil }, end: func() error { ended++; return nil },
			longestRight: time.Second, longestWrong: time.Second,
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		if err := tr.strike(ctx, rand.New(rand.NewPCG(1, 1))); err != nil {
			t.Fatal(err)
		}
		if begun < 30 || ended != begun {
			t.Errorf("%d times wrong and %d times right again in a minute: want at least 30, and as many", begun, ended)
		}
	})
}

func TestTroubleThatCannotBeSetRightIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("the port is taken")
		tr := trouble{
			begin: func() error { return nil }, end: func() error { return broken },
			longestRight: time.Second, longestWrong: time.Second,
		}
		if err := tr.strike(t.Context(), rand.New(rand.NewPCG(1, 1))); !errors.Is(err, broken) {
			t.Errorf("%v, want %v", err, broken)
		}
	})
}

func TestDeckDealsEachAsOften(t *testing.T) {
	d := newDeck(1, 1, 5)
	counts := make([]int, 5)
	for range 3 * len(counts) {
		counts[d.next()]++
	}
	for n, count := range counts {
		if count != 3 {
			t.Errorf("%d was dealt %d times, want 3", n, count)
		}
	}
}
