package queue_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

// The examples use a file that vanishes with them, and a fake Twilio in memory: a program
// leaves out WithHTTPClient.

func exampleQueue() (q *queue.Queue, done func()) {
	dir, err := os.MkdirTemp("", "queue-example-")
	if err != nil {
		log.Fatal(err)
	}
	engine, err := sqlitequeue.Open(filepath.Join(dir, "queue.db"))
	if err != nil {
		log.Fatal(err)
	}
	q, err = queue.Open(engine, queue.WithAccount(twiliotest.AccountSid))
	if err != nil {
		log.Fatal(err)
	}
	return q, func() { _, _ = q.Close(), os.RemoveAll(dir) }
}

func exampleClient(fake *twiliotest.Fake) *pacer.Client {
	c, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken},
		pacer.WithHTTPClient(fake.Client()))
	if err != nil {
		log.Fatal(err)
	}
	return c
}

// What is enqueued is typed as ever, and sent later, by a worker. Its key makes sure that
// it is enqueued once, however often the program runs.
func ExampleQueue_Enqueue() {
	q, done := exampleQueue()
	defer done()
	ctx := context.Background()

	shipped := func(tw *twilio.RestClient) error {
		params := &api.CreateMessageParams{}
		params.SetFrom("+15005550006").SetTo("+15555550100").SetBody("Your order is on its way.")
		_, err := tw.Api.CreateMessage(params)
		return err
	}
	id, err := q.Enqueue(ctx, shipped, queue.Unique("order-1234-shipped"))
	if err != nil {
		log.Fatal(err)
	}
	again, err := q.Enqueue(ctx, shipped, queue.Unique("order-1234-shipped"))
	if err != nil {
		log.Fatal(err)
	}
	r, err := q.Result(ctx, id)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.State, again == id)
	// Output: ready true
}

// A worker sends what waits, at the client's pace, until its context ends.
func ExampleNewWorker() {
	q, done := exampleQueue()
	defer done()
	fake := twiliotest.New(twiliotest.Config{})

	worker, err := queue.NewWorker(q, exampleClient(fake))
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()

	id, err := q.Enqueue(ctx, func(tw *twilio.RestClient) error {
		params := &api.CreateMessageParams{}
		params.SetFrom("+15005550006").SetTo("+15555550100").SetBody("Your table is ready.")
		_, err := tw.Api.CreateMessage(params)
		return err
	}, queue.High)
	if err != nil {
		log.Fatal(err)
	}
	r, err := q.Wait(ctx, id)
	if err != nil {
		log.Fatal(err)
	}
	stop()
	fmt.Println(r.State, r.SID == fake.Messages()[0].SID, <-ended)
	// Output: sent true <nil>
}

// Code that takes a *twilio.RestClient, and does not use the results of what it creates,
// can enqueue instead of sending, without being changed.
func ExampleQueue_RestClient() {
	q, done := exampleQueue()
	defer done()

	remind := func(tw *twilio.RestClient, to string) error {
		params := &api.CreateMessageParams{}
		params.SetFrom("+15005550006").SetTo(to).SetBody("Tomorrow at 9.")
		msg, err := tw.Api.CreateMessage(params)
		if err == nil {
			fmt.Println(*msg.Status)
		}
		return err
	}
	tw := q.RestClient(queue.Low, queue.Label("kind", "reminder"))
	if err := remind(tw, "+15555550100"); err != nil {
		log.Fatal(err)
	}
	s, err := q.Stats(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.Total.Ready, "waiting")
	// Output:
	// queued
	// 1 waiting
}

// Whoever is called at night asks why what waits does not go on.
func ExampleQueue_Why() {
	q, done := exampleQueue()
	defer done()
	ctx := context.Background()

	_, err := q.Enqueue(ctx, func(tw *twilio.RestClient) error {
		params := &api.CreateMessageParams{}
		params.SetFrom("+15005550006").SetTo("+15555550100").SetBody("Your table is ready.")
		_, err := tw.Api.CreateMessage(params)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	reasons, err := q.Why(ctx, queue.About{})
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range reasons {
		fmt.Println(r.Kind, r.Waiting, r.Text)
	}
	// Output: no worker 1 No worker lives.
}

// A request whose answer did not come is in doubt. Here a person decides about it; by
// default, for messages and calls, the worker looks for it at Twilio.
func ExampleWithInDoubt() {
	q, done := exampleQueue()
	defer done()
	fake := twiliotest.New(twiliotest.Config{})
	fake.Inject(twiliotest.Fault{Kind: twiliotest.DropAfterAccept, Times: 1}) // it is sent, and the connection is cut

	parked := make(chan queue.Alert, 1)
	worker, err := queue.NewWorker(q, exampleClient(fake),
		queue.WithInDoubt(queue.ParkInDoubt),
		queue.WithAlert(func(a queue.Alert) { parked <- a }))
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	id, err := q.Enqueue(ctx, func(tw *twilio.RestClient) error {
		params := &api.CreateMessageParams{}
		params.SetFrom("+15005550006").SetTo("+15555550100").SetBody("Your table is ready.")
		_, err := tw.Api.CreateMessage(params)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	alert := <-parked
	fmt.Println(alert.Kind, alert.ID == id)
	stop()
	<-ended

	for j, err := range q.List(context.Background(), queue.Filter{States: []queue.State{queue.InDoubt}}) {
		if err != nil {
			log.Fatal(err)
		}
		// Somebody has looked: Twilio has it. If not: Requeue, or Cancel.
		if err := q.Confirm(context.Background(), j.ID, fake.Messages()[0].SID); err != nil {
			log.Fatal(err)
		}
	}
	r, err := q.Result(context.Background(), id)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.State, r.Attempts)
	// Output:
	// in doubt true
	// sent 1
}
