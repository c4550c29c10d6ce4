package storm

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/twilio-pacer/pacer/twiliotest"
)

// A Stream is work of one kind: calls about one bucket, made by a number of callers. A caller waits for the end of one
// call before it begins the next, and a second more after one that was lost.
type Stream struct {
	Product Product
	Bucket  string // the sender, where the product has one; else a name for the streams that share a resource
	Objects int    // so many numbers, documents or conversations take turns; 0: one
	Object  string // begins their names; one object's name
	Callers int
	Due     Schedule // nil: there is always work
	Hot     bool     // it is what rules with HotOnly are about, and counts apart from the others
}

// A Product is what is called.
type Product int

// The products.
const (
	Messages      Product = iota // messages of the sender Bucket
	Verify                       // starts of verifications, each of the number Object
	Sync                         // updates of the document Object
	Conversations                // messages to the conversation Object
)

// A Schedule is when the i-th call is due, from 0 on, since the start of the run. Each is due no sooner than the one
// before. A negative one is never due, nor are those after it.
type Schedule func(i int) time.Duration

// Every is a call in each interval, the first one after half of it.
func Every(interval time.Duration) Schedule {
	return func(i int) time.Duration { return interval/2 + time.Duration(i)*interval }
}

// About is a call in each interval, at a moment of it that looks random and is always the same.
func About(interval time.Duration) Schedule {
	return func(i int) time.Duration {
		x := uint64(i+1) * 0x9E3779B97F4A7C15 // a hash of i
		x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
		return time.Duration(i)*interval + time.Duration(float64(x>>11)/(1<<53)*float64(interval))
	}
}

// Bursts is n calls at once at the end of each interval.
func Bursts(n int, interval time.Duration) Schedule {
	return func(i int) time.Duration { return time.Duration(1+i/n) * interval }
}

// Campaign is n calls that are due at a time, and no more.
func Campaign(n int, at time.Duration) Schedule {
	return func(i int) time.Duration {
		if i >= n {
			return -1
		}
		return at
	}
}

func (s *Stream) object(i int) string {
	if s.Objects <= 1 {
		return s.Object
	}
	return fmt.Sprintf("%s%04d", s.Object, i%s.Objects)
}

// A Request is a call as a program makes it, for twilio-go's RequestHandler.Post.
type Request struct {
	URL    string
	Form   url.Values
	Header map[string]any
}

// Request is what is to be sent for c.
func (c *Call) Request() Request {
	r := Request{Header: map[string]any{HeaderCall: strconv.Itoa(c.ID)}}
	switch c.Stream.Product {
	case Messages:
		to := c.Object
		if to == "" {
			to = "+15005550001"
		}
		r.URL = "https://api.twilio.com/2010-04-01/Accounts/" + twiliotest.AccountSid + "/Messages.json"
		r.Form = url.Values{"From": {c.Stream.Bucket}, "To": {to}, "Body": {"message " + strconv.Itoa(c.ID)}}
	case Verify:
		r.URL = "https://verify.twilio.com/v2/Services/VA00000000000000000000000000000001/Verifications"
		r.Form = url.Values{"To": {c.Object}, "Channel": {"sms"}}
	case Sync:
		r.URL = "https://sync.twilio.com/v1/Services/IS00000000000000000000000000000001/Documents/" + c.Object
		r.Form = url.Values{"Data": {`{"n":` + strconv.Itoa(c.ID) + `}`}}
	case Conversations:
		r.URL = "https://conversations.twilio.com/v1/Conversations/" + c.Object + "/Messages"
		r.Form = url.Values{"Body": {"message " + strconv.Itoa(c.ID)}}
	}
	return r
}

// afterLoss is how long a caller waits after a lost call, so that a client that fails at once does not spin.
const afterLoss = time.Second

// run makes the calls of s until ctx ends, and returns when all have ended.
func (s *Stream) run(ctx context.Context, srv *server, send func(*Call) error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	next := 0
	for caller := range s.Callers {
		k := srv.taker(s)
		wg.Go(func() {
			for ctx.Err() == nil {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				due := srv.now()
				if s.Due != nil {
					if due = s.Due(i); due < 0 {
						return
					}
					sleep(ctx, due-srv.now())
					if ctx.Err() != nil {
						return
					}
				}
				c := srv.begin(s, k, s.object(i), caller, due)
				err := send(c)
				if ctx.Err() != nil {
					return // it was cut, perhaps
				}
				if srv.end(c, err) {
					sleep(ctx, afterLoss)
				}
			}
		})
	}
	wg.Wait()
}

func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// due counts the calls of s that are due at t, of which seen were before.
func (s *Stream) due(t time.Duration, seen int) (n float64) {
	if s.Due == nil {
		return math.Inf(1)
	}
	for i := seen; ; i++ {
		if due := s.Due(i); due < 0 || due > t {
			return float64(i)
		}
	}
}
