package main

import (
	"context"
	"net/http"
)

// An engine is a queue that takes part.
type engine struct {
	name string
	// killed is what becomes of a job whose worker is killed while it sends.
	killed string
	// open opens the file at path, and makes it if there is none.
	open func(ctx context.Context, path string) (store, error)
}

// A store is an engine's file, open. What its methods have done is on the disk
// when they return: all engines commit with an fsync.
type store interface {
	// add stores one message, by the engine's own call for one.
	add(context.Context, message) error
	// addMany stores messages, batchSize to a transaction.
	addMany(context.Context, []message) error
	// work sends what waits, at most inFlight messages at a time and at no rate, until
	// ctx ends. It returns when nothing is under way any more.
	work(context.Context, http.RoundTripper) error
	// unfinished is how many messages have no result on the disk yet.
	unfinished(context.Context) (int, error)
	// claim takes the next message of a sender as a worker would to send it. Only pacer
	// can take one of that sender; the others take the next of all.
	claim(ctx context.Context, sender string) error
	close() error
}

// A finder is a store in which a worker has to find the lanes with work before it can
// claim. With the others that is a part of the claim.
type finder interface {
	find(context.Context) error
}

// inFlight is how many messages a worker sends at a time. Pacer's may send up to two more.
const inFlight = 100

var engines = []engine{
	{"pacer", "in doubt: looked up at Twilio, and sent again only if it is not there", openPacer},
	{"river", "sent again, an hour later (RescueStuckJobsAfter): doubled, if it had been sent", openRiver},
	{"goqite", "sent again after the queue's timeout, 5 s by default: doubled, if it had been sent", openGoqite},
}
