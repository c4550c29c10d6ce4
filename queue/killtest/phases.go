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
	// How long it goes right and wrong at most.
	longestRight, longestWrong time.Duration
}

// Ten kills take some 3 s: several phases must fit. It goes right for longer than wrong, as
// a queue that was told to pause for a while must have something to send then.
const (
	shortestPhase = 100 * time.Millisecond
	longestRight  = 1200 * time.Millisecond
	longestWrong  = 500 * time.Millisecond
)

// strike lets a trouble come and go until ctx ends. It ends with all set right.
func (t trouble) strike(ctx context.Context, draw *rand.Rand) error {
	for sleep(ctx, between(draw, shortestPhase, t.longestRight)) {
		if err := t.begin(); err != nil {
			return err
		}
		sleep(ctx, between(draw, shortestPhase, t.longestWrong))
		if err := t.end(); err != nil {
			return err
		}
	}
	return nil
}

// troubles are those that strike while processes are killed, besides the fake's faults.
func (r *run) troubles() (all []trouble) {
	if r.way != nil {
		all = append(all, r.way.trouble(r.seed))
	}
	if r.portal != nil {
		all = append(all, r.portal.trouble(r.seed))
	}
	if r.clocks != nil && !r.clockStays {
		all = append(all, r.clocks.trouble(newDeck(r.seed, 7, r.clocks.states())))
	}
	return all
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
