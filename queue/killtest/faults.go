package main

import (
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/twilio-pacer/pacer/twiliotest"
)

// What the queue is told about time, short enough that hundreds of deaths fit in minutes.
// A fault that works late must be over before Twilio is asked. That is what the settling
// time is for: a queue may rely on lateness plus lag being below settle.
const (
	attemptTimeout = 1500 * time.Millisecond
	leaseMargin    = 500 * time.Millisecond
	settle         = time.Second
	grace          = time.Second

	latency  = 80 * time.Millisecond
	lateness = 400 * time.Millisecond // of AcceptLate
	listLag  = 300 * time.Millisecond
)

// A share is a fault of the fake, and how many of the requests it strikes.
type share struct {
	of    float64
	fault twiliotest.Fault
	posts bool // strikes only what creates something
}

// refusal is the code of the only refusal that is a request's own fault.
const refusal = 21211

var shares = []share{
	{of: 0.02, fault: twiliotest.Fault{Kind: twiliotest.DropBeforeAccept}},
	{of: 0.02, fault: twiliotest.Fault{Kind: twiliotest.DropBeforeAccept, Delay: 200 * time.Millisecond}},
	{of: 0.03, fault: twiliotest.Fault{Kind: twiliotest.AcceptLate, Delay: lateness}},
	{of: 0.02, fault: twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 500}},
	{of: 0.02, fault: twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 503, Format: twiliotest.FormatHTML}},
	{of: 0.01, fault: twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 429}},
	{of: 0.02, fault: twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 429, RetryAfter: "0.2"}},
	{of: 0.01, fault: twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 429, RetryAfter: "1"}},
	{of: 0.01, posts: true, fault: twiliotest.Fault{Kind: twiliotest.RespondStatus, Status: 400, Code: refusal, Message: "Invalid 'To' Phone Number"}},

	// These strike after the work is done: a fault above has not struck then.
	{of: 0.03, fault: twiliotest.Fault{Kind: twiliotest.DropAfterAccept}},
	{of: 0.03, fault: twiliotest.Fault{Kind: twiliotest.AcceptThenStatus, Status: 500}},
	{of: 0.01, fault: twiliotest.Fault{Kind: twiliotest.AcceptThenStatus, Status: 503, Format: twiliotest.FormatHTML}},
	{of: 0.01, fault: twiliotest.Fault{Kind: twiliotest.AcceptThenStatus, Status: 201, Body: []byte("{}")}},
	{of: 0.02, fault: twiliotest.Fault{Kind: twiliotest.Slow, BodyErr: io.ErrUnexpectedEOF}},
	{of: 0.01, fault: twiliotest.Fault{Kind: twiliotest.Slow, BodyDelay: attemptTimeout + 500*time.Millisecond}},
	{of: 0.04, fault: twiliotest.Fault{Kind: twiliotest.Slow, Delay: 300 * time.Millisecond}},
	{of: 0.01, fault: twiliotest.Fault{Kind: twiliotest.Slow, Delay: attemptTimeout + 500*time.Millisecond}},
}

// refusedDials is the share of a worker's connections that nobody accepts. The fake
// listens, so that it is the worker which dials where nobody does.
const refusedDials = 0.05

// inject lets the faults strike from now on, whom is drawn with the seed.
func inject(fake *twiliotest.Fake, seed uint64) {
	var mu sync.Mutex
	draw := rand.New(rand.NewPCG(seed, 1))
	for _, s := range shares {
		s.fault.Match = func(r *twiliotest.Request) bool {
			if s.posts && r.Method != http.MethodPost {
				return false
			}
			mu.Lock()
			defer mu.Unlock()
			return draw.Float64() < s.of
		}
		fake.Inject(s.fault)
	}
}
