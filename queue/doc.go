// Package queue keeps requests to Twilio durably, and sends them at the account's pace.
//
// A program that sends at once has what waits for its turn in memory. If it dies, that is lost,
// and nobody knows what had been sent. Here a request waits in a store ([Engine]) until a
// [Worker], in the same process or another, has sent it. Package sqlitequeue has a store that
// is a file:
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
// Before the first byte of a request goes out, it is [Sending], durably. Afterwards its result
// is durable. If the worker dies in between, or the answer does not come, the request is
// [InDoubt]. Twilio has no idempotency key for messages and calls, so such a request must not
// simply be sent again.
//
// By default the worker looks for messages and calls at Twilio. What is found is [Sent]. What
// is surely not there is sent. What is unsure waits for a person, as does everything else in
// doubt; see [Policy]. A person decides with [Queue.Confirm], [Queue.Requeue] or
// [Queue.Cancel], and an [Alert] calls the person.
//
// # Order and pace
//
// Requests of one [Lane] keep their order, apart from priorities: [High] overtakes, and [Low]
// lets others go first and does not starve. The pace is that of the client's limits. A
// throttled request goes back to its place, and its bucket may be held for as long as Twilio says.
// [At] and [In] delay a request, and [Deadline] gives it up.
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
// # Words
//
// Package pacer's glossary has the words for limits and pace. The queue's own words are these:
//
//   - A job is a request in the queue, with its state and what is known about it: [Job].
//   - A lane is what keeps its order: the jobs of one bucket and one campaign, or of none: [Lane].
//     Lanes that differ only in their campaign share the bucket, and so its pace.
//   - An engine keeps the jobs in a store, such as a file or a Redis: [Engine].
//   - To claim a job is to take it in order to send it. Each claim of a job has a number.
//   - A lease is how long a claimed job belongs to the worker that has claimed it. When it has
//     ended, the worker counts as dead, and the job as in doubt.
//   - A job in doubt may have been sent, and nothing proves whether it was: [InDoubt].
//   - A job in doubt that waits for a person is parked: [ParkInDoubt].
//   - A bucket, or a whole account, is held while nothing of it is sent, whatever is ready. A hold
//     has an end and a reason. It is in the store, and so in all processes: [Queue.Holds].
//   - A heartbeat is what a worker writes every 5 s, so that others see that it lives: [Queue.Workers].
//   - A campaign is a list of recipients with a rate, a window, and a state of its own: [Campaign].
//   - A window is the time of the day and of the week in which a campaign sends: [Window].
//   - A document is a small value with a name and a version that an engine keeps, such as a
//     campaign's options: [Document].
//   - A schedule is a row of places in time, one after the other at a rate, which all processes
//     share. The requests of a campaign are sent at places of its schedule.
//
// The manual says what happens when what fails, what to watch, and how to back up:
// https://github.com/twilio-pacer/pacer/blob/main/docs/queue.md
package queue
