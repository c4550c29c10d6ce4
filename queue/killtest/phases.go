package main

import (
	"context"
	"math/rand/v2"
	"time"
)

// A trouble is something outside of the queue that goes wrong for a while, again and again.
type trouble struct {
	begin func() error // lets the next thing go wrong
	end   func() error // sets it right
	// longest is how long a phase may last, whether right or wrong.
	longest time.Duration
}

// Ten kills take some 3 s: several phases must fit.
const (
	shortestPhase = 100 * time.Millisecond
	longestPhase  = 700 * time.Millisecond
)

// strike lets a trouble come and go until ctx ends. It ends with all set right.
func (t trouble) strike(ctx context.Context, draw *rand.Rand) error {
	for sleep(ctx, between(draw, shortestPhase, t.longest)) {
		if err := t.begin(); err != nil {
			return err
		}
		sleep(ctx, between(draw, shortestPhase, t.longest))
		if err := t.end(); err != nil {
			return err
		}
	}
	return nil
}

// A deck deals numbers below size in random order, each as often as any other.
type deck struct {
	draw *rand.Rand
	size int
	left []int
}

func newDeck(seed, stream uint64, size int) *deck {
	return &deck{draw: rand.New(rand.NewPCG(seed, stream)), size: size}
}

func (d *deck) next() int {
	if len(d.left) == 0 {
		d.left = d.draw.Perm(d.size)
	}
	n := d.left[0]
	d.left = d.left[1:]
	return n
}
