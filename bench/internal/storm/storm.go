// Package storm is a model of Twilio and of the programs that send to it, in virtual time. It says what is sent, when the
// server refuses it, and what the best possible client would have reached. A client of any kind is put into it by its
// http.RoundTripper. It is meant for testing/synctest: it sleeps with time.Sleep, and opens no socket.
//
// A scene is composed of rules (by which the server refuses), of latency (in which it answers), and of streams (what is
// sent). Whatever is random in them comes from the seed of the run, in the order in which requests reach the server.
package storm

import (
	"math"
	"slices"
	"time"
)

// A Scene is what a client is put to: a model of a server, and a model of a load.
//
// Rules have state, and so a scene is for one run.
type Scene struct {
	// Rules are those of the server, in the order in which a request meets them. Behind a limit, what a later rule refuses
	// has used up the limit all the same.
	Rules   []*Rule
	Latency Latency
	Streams []Stream

	// Failures are requests that fail for another reason than a throttle.
	Failures []Failure

	// Told is the rate in requests/s of each bucket that the program has configured; 0: none. No client of the scene may
	// send faster, and so it bounds the possible.
	Told float64

	// Measured is the time in which shares, waits and losses are measured.
	Measured Span

	// Trouble is when the rules with Trouble are in force. Its end is what recovery is measured from. The zero Span: none.
	Trouble Span

	// End is when the run ends, at the latest. It ends before, but not before Measured does, when all buckets have recovered.
	End time.Duration
}

// A Span is a time from the start of the run: From is part of it, To is not. A To of 0 is for ever.
type Span struct{ From, To time.Duration }

// Has reports whether t is in s.
func (s Span) Has(t time.Duration) bool { return t >= s.From && (s.To == 0 || t < s.To) }

// Length is how long s is.
func (s Span) Length() time.Duration { return s.To - s.From }

// Steps is a figure that changes with time: the value of the last step that has begun, 0 before the first.
type Steps []Step

// A Step is a value from At on, counted from the start of the run.
type Step struct {
	At    time.Duration
	Value float64
}

// Always is a figure that does not change.
func Always(v float64) Steps { return Steps{{0, v}} }

// At returns the figure at t.
func (s Steps) At(t time.Duration) float64 {
	v := 0.0
	for _, step := range s {
		if step.At <= t {
			v = step.Value
		}
	}
	return v
}

var unlimited = math.Inf(1)

// A Call is one call of the program's: one message, verification or update, with all its attempts.
type Call struct {
	ID     int
	Stream *Stream
	Object string // the number, document or conversation that it is about
	Caller int    // which caller of its stream makes it, from 0

	began    time.Duration // when it could begin: it was due, and in a closed loop its caller was free
	taker    *taker        // its caller, if that always has work; else nil
	attempts int           // that have reached the server
	failed   bool          // the last one, for another reason than a throttle
	waiting  bool          // for its turn
}

// A Failure is a share of the requests, at random, that fail for another reason than a throttle. To a model they count as
// accepted, since they are no reason to send less. Their callers go on with the next call.
type Failure struct {
	Share  float64 // from 0 to 1
	Unsent bool    // there is no connection, and no rule meets the request; false: it passes the rules, and status 500
	Span   Span
}

// Calm takes the trouble out of the scene. Its times stay as they are.
func (sc *Scene) Calm() {
	sc.Rules = slices.DeleteFunc(sc.Rules, func(r *Rule) bool { return r.Trouble })
}
