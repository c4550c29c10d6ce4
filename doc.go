// Package pacer is twilio-go's client with a layer below it. The layer sends each request
// when Twilio may take it, and sends it again when Twilio was throttling.
//
// A program that imports it in place of github.com/twilio/twilio-go compiles and
// behaves as before, with the same types and errors:
//
//	import twilio "github.com/twilio-pacer/pacer" // was: "github.com/twilio/twilio-go"
//
// [NewRestClient] and [NewRestClientWithParams] are those of twilio-go with options.
// [New] returns a [Client], which has methods of its own:
//
//	c, err := pacer.New(pacer.ClientParams{}, // credentials from the environment
//		pacer.WithLimits(pacer.Limits{{Resource: pacer.Messages, Rate: 20}}))
//	if err != nil {
//		return err
//	}
//	params := &api.CreateMessageParams{}
//	params.SetFrom("+15005550006").SetTo("+15555550100").SetBody("Your table is ready.")
//	msg, err := c.WithContext(ctx).Api.CreateMessage(params)
//
// Make one client for each program: what is known about the account's limits lives in
// it.
//
// # What happens to a request
//
// It is assigned to a [Resource]: account, region, product, path without identifiers,
// operation, and for a new message the sender. Each Resource has a bucket. The request
// waits in the bucket's line until no cool-down is in force. Then it takes a token and a
// permit, and twilio-go sends it. It returns with Twilio's answer unless that is a throttle. Then
// it waits, and goes back to its place in the line. CONTRIBUTING.md names the file of each step.
//
// # Glossary
//
// Each of these words has one meaning, here and in the code:
//
//   - call: what the program makes, from the method of twilio-go to its return.
//   - request: what a call sends. attempt: one sending of it. A call makes several attempts
//     only if it is throttled.
//   - resource: what a request is for, as Twilio limits it. See [Resource].
//   - sender: the From of a message, or its Messaging Service. See [Resource].
//   - rule: one [Limit] of the program's. default: a limit that pacer brings.
//   - bucket: all that is known of one resource, and who waits for it.
//   - line: the requests that wait in a bucket, in the order in which they leave.
//   - priority: which requests of a line go first. See [Priority].
//   - token: the right to send one request. A bucket gets tokens at its rate. access token: the
//     credential of OAuth, always named so.
//   - rate: tokens per second, as configured. pace: tokens per second at which a bucket
//     sends now, which is the rate or less. learned rate: the pace that a learned limit allows.
//   - permit: the place of one request in flight. An account, a resource and a bucket may have a limited
//     number of them.
//   - turn: the token and the permit with which a request leaves. With a [Turn] a program waits for
//     them before it chooses what to send.
//   - cool-down: the time for which a bucket pauses after a throttled answer. Nothing of the
//     bucket leaves meanwhile.
//   - accepted: Twilio has looked at the request, whatever it thought of its content.
//   - throttled: Twilio has answered 429 or 20429, and has not processed the request.
//   - refused: pacer does not let a call wait, since its wait would be too long.
//   - late arrival: a request that reaches Twilio later than those that left beside it.
//   - limit: what Twilio allows; a [Limit] is a rule about it. learned: found from throttled answers. noise: throttled answers
//     that no limit explains.
//   - store: what keeps the buckets that processes share. grant: tokens that a store gives a
//     process. See [BucketStore].
//   - outage: times in which nothing is accepted, or in which a store does not answer. rejoin: to
//     go back to the store after that.
//   - lease, lane, job, document: words of package queue, which explains them.
//
// # Limits
//
// [Limits] are rules, written in Go or read from JSON by [ParseLimits]; of those that match, the most
// specific one wins. Where none matches, [DefaultLimits] apply. In the main they are what Twilio
// publishes for a new account, such as one message per second from a long code. The first time that
// calls wait for such a default [AlertPacedByDefault] says so. Yours may be higher: say so with
// [WithLimits], in the environment (PACER_LIMITS, PACER_LIMITS_FILE), or, while the program runs,
// with [Client.WatchLimits], [Client.LimitsHandler] or [Client.SetLimits].
//
// A burst is 1 unless a rule says otherwise, because Twilio counts in a window that
// slides. A bucket stays up to 2 % below its rate: the more the network's delays differ, the more
// room it leaves. It stays up to 5 % more below it once a trial has shown a limit just below
// that rate.
//
// # Learning
//
// Throttled answers teach pacer the real limits; see [BucketLimiter]. One is the rate of a bucket,
// below the one that is configured or where none is. The other is how many requests an account may
// have in flight. Some answers are throttled whatever is sent. Such noise is told from a limit, and
// only the throttled calls wait for it. The rules, and what was given up, are in docs/learning.md.
// [WithLearning] switches it off.
//
// # Priorities
//
// [WithPriority] gives the calls of a context a priority: a one-time password overtakes a
// campaign, and does not starve it.
//
// # Retries
//
// A throttle is an answer with status 429 or code 20429; Twilio has not processed such
// a request. pacer waits for what Retry-After asks plus a jitter of 0-1 s, else 1, 2, 4,
// 8 and 16 s. Then it sends again, five times at most ([WithMaxRetries]). For a single
// throttled answer, or where most are throttled, the whole bucket pauses meanwhile,
// and its calls leave at its pace afterwards. Otherwise only the throttled call waits. It
// goes back to its place, ahead of those that came later. If the
// limit is that of one receiver or object ([Scope]), only calls for that one wait. A
// Retry-After above five minutes ([WithMaxRetryAfter]) is not waited for. Nor are
// answers that seconds do not help: attempt caps, quotas, full queues.
//
// Nothing else is ever sent again: no timeout, no cut connection, no 5xx.
//
// # Errors
//
// Twilio's answers are errors of twilio-go's types, so that an assertion such as
// err.(*client.TwilioRestError) goes on working. [FromError] reads from an error what it says about
// throttling: its [Kind], the attempts made, the time waited. When it is true Twilio has not
// processed the request. [InDoubt] is true when it may have: the request was perhaps written and no
// whole answer came, or the answer was a 5xx. A call that ended while it waited gets a [WaitError].
// When a call is given up, [WithAlert] or the log tells the people who run the program.
// [WithObserver] gets every step of every call, and [Client.Stats] says what the last minute was
// like. Module otelpacer has metrics and traces for OpenTelemetry.
//
// # Context
//
// [Client.WithContext] returns a client whose calls carry a context. Its end ends waits
// and HTTP requests. A wait that cannot end before its deadline is refused at once, with
// [ErrWaitTooLong]; [WithMaxWait] does the same without a context. The timeout of the
// http.Client, 10 s in twilio-go, bounds each attempt and no wait; see
// [Client.SetTimeout].
//
// # Concurrency and memory
//
// Everything here is safe for concurrent use, holds no goroutine and needs no closing.
// A call that waits takes about 0.3 KiB of heap in the limiter beyond its goroutine. A
// bucket takes about 1.8 KB, and 4 KB at 1,000/s; one that is idle for a minute is dropped.
// A waiting call has no bound by default: use a context or [WithMaxWait].
//
// What waits is lost with the process. Module github.com/twilio-pacer/pacer/queue keeps requests
// in a file, in Redis or behind SQS until they have been sent, and has campaigns.
//
// Limits are kept for one process. Several clients in it can share a [BucketLimiter]. Several
// processes share limits through Redis with module github.com/twilio-pacer/pacer/redispacer, through
// a store of your own ([NewSharedLimiter]), or through a [Limiter] of your own.
//
// # Testing
//
// Package twiliotest is a fake Twilio in memory, with limits and faults. Inside
// testing/synctest it and pacer run in virtual time. Give its client to
// [WithHTTPClient].
package pacer
