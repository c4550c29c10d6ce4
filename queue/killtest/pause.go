package main

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/twilio/twilio-go"

	"github.com/twilio-pacer/pacer/queue"
)

// A pace is how many requests Twilio has accepted in some time, and how many it should.
type pace struct {
	What     string  `json:"what"`
	Seconds  float64 `json:"seconds"`
	Accepted int     `json:"accepted"`
	Least    int     `json:"least"`
	Most     int     `json:"most"`
}

func (p pace) ok() bool { return p.Least <= p.Accepted && p.Accepted <= p.Most }

const (
	slow, fast = 20, 200         // requests per second
	heeded     = time.Second     // how long workers may take to see a change
	watched    = 2 * time.Second // how long the pace is measured
	atMost     = 1.15            // of the rate
	atLeast    = 0.6             // of it, on a machine that may be busy with other things
)

// campaign runs one whose rate is raised, that is paused and resumed, while the worker
// dies in each of these states. It returns the paces that were seen.
func (r *run) campaign(ctx context.Context) (paces []pace, err error) {
	c, err := r.q.Campaign(ctx, "kill test", queue.CampaignOptions{Rate: slow})
	if err != nil {
		return nil, err
	}
	if err := r.invite(ctx, c, r.messages); err != nil {
		return nil, err
	}
	watch := func(what string, perSecond float64) error {
		p := pace{What: what, Seconds: watched.Seconds()}
		from := time.Now()
		if !sleep(ctx, watched) {
			return context.Cause(ctx)
		}
		p.Accepted = r.acceptedSince(from)
		want := perSecond * watched.Seconds()
		p.Least, p.Most = int(want*atLeast), int(want*atMost)
		paces = append(paces, p)
		return nil
	}
	p, err := r.startWorker(ctx)
	if err != nil {
		return nil, err
	}
	reborn := func() error {
		p.kill(r.hear)
		r.killed.Add(1)
		p, err = r.startWorker(ctx)
		return err
	}
	steps := []func() error{
		func() error { return watch("slow", slow) },
		func() error { return c.SetRate(ctx, fast) },
		func() error { return watch("a second after the rate was raised", fast) },
		reborn,
		func() error { return watch("a second after the worker was killed", fast) },
		func() error { return c.Pause(ctx) },
		func() error { return watch("a second after the pause", 0) },
		reborn,
		func() error { return watch("paused, worker killed and started anew", 0) },
		func() error { return c.Resume(ctx) },
		func() error { return watch("a second after it was resumed", fast) },
		reborn,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return paces, err
		}
		if !sleep(ctx, heeded) {
			return paces, context.Cause(ctx)
		}
	}
	if err := r.finish(ctx, p); err != nil {
		return paces, err
	}
	return paces, r.invite(ctx, c, 0)
}

// invite enqueues all, of whom so many are not known to the campaign yet.
func (r *run) invite(ctx context.Context, c *queue.Campaign, unknown int) error {
	done, err := c.Enqueue(ctx, recipients(r.messages), func(rc *twilio.RestClient, to queue.Recipient) error {
		n, err := strconv.Atoi(to.ID)
		if err != nil {
			return err
		}
		return build(n)(rc)
	})
	if err != nil {
		return err
	}
	r.stored.Store(int64(done.New + done.Known))
	if done.New != unknown || done.New+done.Known != r.messages {
		return fmt.Errorf("the campaign took %d of %d recipients as new: expected %d", done.New, r.messages, unknown)
	}
	return nil
}

func recipients(n int) iter.Seq[queue.Recipient] {
	return func(yield func(queue.Recipient) bool) {
		for i := range n {
			if !yield(queue.Recipient{ID: strconv.Itoa(i)}) {
				return
			}
		}
	}
}

func (r *run) acceptedSince(t time.Time) (n int) {
	for _, c := range append(r.fake.Messages(), r.fake.Calls()...) {
		if !c.Time.Before(t) {
			n++
		}
	}
	return n
}
