package main

import (
	"time"

	"github.com/twilio-pacer/pacer/twiliotest"
)

// A scenario is a limit that clients are put to, and what becomes of it.
type scenario struct {
	batch  int // those of one number run at the same time, batches one after the other
	name   string
	what   string // for people
	sender string // of all messages
	told   int    // messages per second that a client is told, if it can be told; 0: nobody is told
	shared int    // so many clients of a kind, with separate state, send together
	phases []phase
}

// A phase is a time in which the limit stays as it is: first the clients may
// adapt to it, then they are measured.
type phase struct {
	row string // of the table; "": not measured

	rate     int           // per second and sender, in a sliding window; 0: no such limit
	inFlight int           // requests in progress; 0: no such limit
	latency  time.Duration // of an accepted request
}

const (
	// A long code, for which pacer has a default that the rate it is told replaces.
	number = "+15005550006"
	// An alphanumeric sender, for which it has none: it is not paced until it is
	// throttled.
	unlisted = "PACER"
)

var scenarios = []scenario{
	{
		batch: 1, name: "known", what: "20/s per sender, and those that can be told are told",
		sender: number, told: 20, shared: 1,
		phases: []phase{{row: "known", rate: 20}},
	},
	{
		batch: 1, name: "two-processes", what: "two clients of a kind, unaware of each other, share 20/s and are each told 20/s",
		sender: number, told: 20, shared: 2,
		phases: []phase{{row: "two-processes", rate: 20}},
	},
	{
		batch: 2, name: "unknown", what: "20/s, and nobody is told",
		sender: unlisted, shared: 1,
		phases: []phase{{row: "unknown", rate: 20}},
	},
	{
		batch: 2, name: "halves", what: "unknown; 20/s become 10/s, and are measured then",
		sender: unlisted, shared: 1,
		phases: []phase{{rate: 20}, {row: "halves", rate: 10}},
	},
	{
		batch: 2, name: "doubles", what: "unknown; 20/s become 40/s, and are measured then",
		sender: unlisted, shared: 1,
		phases: []phase{{rate: 20}, {row: "doubles", rate: 40}},
	},
	{
		batch: 3, name: "in-flight", what: "unknown; 10 requests in progress, each for 50 ms (200/s), then 200 ms (50/s): two rows",
		sender: unlisted, shared: 1,
		phases: []phase{
			{row: "in-flight-50ms", inFlight: 10, latency: 50 * time.Millisecond},
			{row: "in-flight-200ms", inFlight: 10, latency: 200 * time.Millisecond},
		},
	},
}

// possible is how many messages per second the fake Twilio takes at most.
//
// A sliding window takes its rate in any second. So over a minute no client has
// more than rate x 60, and what one window can hold at either end. A client that
// sends in bursts can show a percent or two above 100 %.
//
// With n requests in progress, each for its latency, n/latency can be done in a
// second. Nobody reaches that on a real machine: the way to the server and back,
// and a timer that is late, are added to each latency.
func (p phase) possible() float64 {
	if p.inFlight > 0 {
		return float64(p.inFlight) / p.latency.Seconds()
	}
	return float64(p.rate)
}

// overload is how many times the largest possible rate is offered.
const overload = 1.5

// offered is how many messages per second are begun while callers are free.
func (s scenario) offered() float64 {
	most := 0.0
	for _, p := range s.phases {
		most = max(most, p.possible())
	}
	return overload * most
}

func (p phase) limits() []twiliotest.Limit {
	if p.rate == 0 {
		return nil
	}
	return []twiliotest.Limit{{Resource: "Messages", Rate: p.rate, PerSender: true}}
}

func (p phase) config() twiliotest.Config {
	return twiliotest.Config{Limits: p.limits(), MaxInFlight: p.inFlight, Latency: p.latency}
}

func (p phase) apply(f *twiliotest.Fake) {
	f.SetLimits(p.limits())
	f.SetMaxInFlight(p.inFlight)
	f.SetLatency(p.latency)
}
