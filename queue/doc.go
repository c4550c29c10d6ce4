// Package queue keeps requests to Twilio durably, and sends them at the account's pace.
//
// A program that sends at once has what waits for its turn in memory. If it dies that is
// lost, and nobody knows what had been sent. Here a request waits in a store ([Engine]; package
// sqlitequeue has one that is a file) until a [Worker], in the same process or another,
// has sent it:
//
//	engine, err := sqlitequeue.Open("queue.db")
//	if err != nil {
//		return err
//	}
//	q, err := queue.Open(engine) // TWILIO_ACCOUNT_SID
//	if err != nil {
//		return err
//	}
//	defer q.Close()
//	id, err := q.Enqueue(ctx, func(tw *twilio.RestClient) error { // any operation of twilio-go's
//		_, err := tw.Api.CreateMessage(params)
//		return err
//	}, queue.Unique("order-1234-shipped"))
//
// And the worker, with a client of pacer's, which has the credentials and the limits:
//
//	worker, err := queue.NewWorker(q, client)
//	if err != nil {
//		return err
//	}
//	err = worker.Run(ctx) // until ctx ends
//
// # Never twice, never lost
//
// Before the first byte of a request goes out it is [Sending], durably; afterwards its result is. If the
// worker dies in between, or the answer does not come, the request is [InDoubt]: Twilio
// has no idempotency key for messages and calls, so that it must not simply be sent
// again. By default the worker looks for messages and calls at Twilio: what is found is
// [Sent], what is surely not there is sent, and what is unsure waits for a person, as does everything
// else in doubt; see [Policy]. [Queue.Confirm], [Queue.Requeue] and [Queue.Cancel] are how a person
// decides, and an [Alert] calls them.
//
// # Order and pace
//
// Requests of one [Lane] (account, resource, sender, and campaign) keep their order, apart
// from priorities: [High] overtakes, [Low] lets others go first and does not starve. The
// pace is that of the client's limits. A throttled request goes back to its place, and its
// lane is held for as long as Twilio says. [At] and [In] delay a request, [Deadline]
// gives it up.
//
// # Campaigns
//
// A [Campaign] sends to many recipients at a rate of its own, within a [Window], to each
// once, however often they are enqueued. It is paused, made faster and watched while it
// runs, from any process.
//
// # Results
//
// [Queue.Result] and [Queue.Wait] say what has become of a request, [WithOnResult] tells of
// each, [Queue.List] finds them, [Queue.Stats] counts. Results, and with them keys, are kept
// for seven days: [WithRetention]. Requests hold phone numbers and texts: so does the store.
//
// The manual says what happens when what fails, what to watch, and how to back up:
// https://github.com/twilio-pacer/pacer/blob/main/docs/queue.md
package queue
