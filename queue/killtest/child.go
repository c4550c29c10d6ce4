package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// childEnv holds a task as JSON: this process is a child then, one of those that are killed.
const childEnv = "PACER_KILLTEST_CHILD"

// A task is what a child is to do.
type task struct {
	Produce bool   // else: send
	Engine  string // and where its store is
	Store   string
	Fake    string // host and port; "": the task is the parent's
	Proxy   string // host and port; "": none
	Cert    []byte // DER, that the fake has when there is a proxy
	Seed    uint64
	Rate    float64 // per sender and second

	Known, Until int // of a producer: requests that are there surely, and those that are to be
}

// What a child says on its standard output, a line each.
const (
	saysUp      = "up"
	saysAlert   = "alert " // and its kind
	saysStored  = "stored" // and how many requests are there by now
	saysDone    = "done"
	lingersFor  = 10 * time.Second
	slowestItem = 4 * time.Millisecond
)

// child does a task and ends when its standard input does: the parent has closed it, or
// is dead itself.
func child(text string) error {
	var t task
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return fmt.Errorf("%s: %w: expected a task, as the parent sets it", childEnv, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
		time.Sleep(lingersFor)
		os.Exit(1) // it should have ended long ago
	}()
	q, err := open(t)
	if err != nil {
		return err
	}
	if t.Produce {
		err = produce(ctx, q, t)
	} else {
		err = work(ctx, q, t)
	}
	return errors.Join(err, q.Close())
}

func knownEngine(name string) error {
	if _, ok := engines[name]; !ok {
		return fmt.Errorf("-engine %q: expected one of %q", name, slices.Sorted(maps.Keys(engines)))
	}
	return nil
}

// An engine is one that can be tested.
type engine struct {
	open func(task) (queue.Engine, error)
	// start starts a server for a store in a folder. nil: there is none, and the store is a
	// file. shifted: the test will set the engine's clock, if it is not this machine's.
	start func(dir string, shifted bool) (started, error)
}

// What was started.
type started struct {
	store string
	stop  func() error
	fails server // that the test is to kill now and then; nil: none
	// clock sets how much the engine's clock is ahead of this machine's; nil: it is the same.
	clock func(time.Duration) error
}

// A server is what an engine depends on, and is to outlive.
type server interface {
	Kill() error
	Restart() error
}

var engines = map[string]engine{
	"sqlite": {open: func(t task) (queue.Engine, error) { return sqlitequeue.Open(t.Store) }},
	"sqs":    {open: openSQS, start: startSQS},
}

// parent reports whether the task is the parent's own, who sends nothing.
func (t task) parent() bool { return t.Fake == "" }

// open opens the queue.
func open(t task) (*queue.Queue, error) {
	if err := knownEngine(t.Engine); err != nil {
		return nil, err
	}
	e, err := engines[t.Engine].open(t)
	if err != nil {
		return nil, err
	}
	return queue.Open(e, queue.WithAccount(twiliotest.AccountSid))
}

// work sends until ctx ends.
func work(ctx context.Context, q *queue.Queue, t task) error {
	draw := rand.New(rand.NewPCG(t.Seed, 2))
	http, err := t.client(draw, refusedDials)
	if err != nil {
		return err
	}
	client, err := pacer.New(
		pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken},
		pacer.WithHTTPClient(http),
		pacer.WithLimits(pacer.Limits{{Resource: pacer.Messages, Rate: t.Rate}, {Resource: pacer.Calls, Rate: t.Rate}}),
	)
	if err != nil {
		return err
	}
	w, err := queue.NewWorker(q, client,
		queue.WithAttemptTimeout(attemptTimeout), queue.WithLeaseMargin(leaseMargin),
		queue.WithSettle(settle), queue.WithGrace(grace), queue.WithConcurrency(50),
		queue.WithAlert(func(a queue.Alert) { fmt.Println(saysAlert + string(a.Kind)) }),
	)
	if err != nil {
		return err
	}
	fmt.Println(saysUp)
	return w.Run(ctx)
}

// produce enqueues requests 0 to t.Until-1, from the first, as a producer would that has
// died and does not know how far it came. It says how many are there each time the queue
// has said so, and checks that what was said to its predecessors is true.
func produce(ctx context.Context, q *queue.Queue, t task) error {
	draw := rand.New(rand.NewPCG(t.Seed, 3))
	fmt.Println(saysUp)
	there, err := q.EnqueueMany(ctx, items(0, t.Known))
	if err != nil {
		return err
	}
	if there.New > 0 {
		return fmt.Errorf("%d of %d requests were missing that the queue had said it has: they are lost", there.New, t.Known)
	}
	for n := t.Known; n < t.Until; {
		// Mostly single ones, so that many commits can be hit. What is known takes whole batches.
		until := min(t.Until, n+[]int{1, 1, 1, 1, 20, 200}[draw.IntN(6)])
		if _, err := q.EnqueueMany(ctx, slowly(items(n, until), draw)); err != nil {
			return err
		}
		n = until
		fmt.Println(saysStored, n)
	}
	fmt.Println(saysDone)
	<-ctx.Done()
	return nil
}

// slowly is a source that takes its time, such as a file or a database.
func slowly(all iter.Seq[queue.Item], draw *rand.Rand) iter.Seq[queue.Item] {
	return func(yield func(queue.Item) bool) {
		for item := range all {
			if time.Sleep(time.Duration(draw.Int64N(int64(slowestItem)))); !yield(item) {
				return
			}
		}
	}
}
