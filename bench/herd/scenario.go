package main

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/twilio-pacer/pacer/twiliotest"
)

// A scenario is a kind of limiter.
type scenario struct {
	name string
	// atOnce is how many messages the limiter takes in its first instant.
	atOnce func(rate int) int
	open   func(o *options, getenv func(string) string) *server
	pause  time.Duration // before the next client, where they share a limiter
}

var scenarios = []scenario{
	// Any second has room for rate messages, as Twilio's own limits have.
	{name: "sliding-window", atOnce: func(rate int) int { return rate }, open: openFake(false)},
	// One message in each 1/rate seconds: a leaky bucket with room for one.
	{name: "strict", atOnce: func(int) int { return 1 }, open: openFake(true)},
}

// targetScenario is the server of -target, taken for a sliding window.
var targetScenario = scenario{name: "target", atOnce: func(rate int) int { return rate }, open: openTarget, pause: time.Second}

// possible is how many messages the limiter would have taken in that time from
// an even stream at its rate. That is one at once, and rate in each second.
//
// A sliding window takes its first rate messages at once. So it would have
// taken those, however short the time was. From then on a stream in bursts is
// no faster than an even one, with one exception. It can end with a burst, too,
// just after a second has passed. Then it is ahead by as much as a window, but
// once, however long it runs. That is not counted as possible, and a client
// which sends in bursts can show more than 100 %.
func (s scenario) possible(rate int, seconds float64) float64 {
	return max(float64(s.atOnce(rate)), 1+float64(rate)*seconds)
}

// settle waits until the next client finds the limiter as this one did.
func (s scenario) settle(ctx context.Context) error {
	if s.pause == 0 {
		return nil
	}
	select {
	case <-time.After(s.pause):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// A server is what one client sends to.
type server struct {
	transport      http.RoundTripper
	user, password string
	doubled        func() *int // messages accepted more than once; nil: not known
	close          func()
}

func openFake(strict bool) func(*options, func(string) string) *server {
	return func(o *options, _ func(string) string) *server {
		fake := twiliotest.NewServer(twiliotest.Config{
			Limits: []twiliotest.Limit{{Resource: "Messages", Rate: o.rate, PerSender: true, Strict: strict}},
		})
		return &server{
			transport: fake.Transport(),
			user:      twiliotest.AccountSid,
			password:  twiliotest.AuthToken,
			doubled:   func() *int { n := len(fake.Duplicates()); return &n },
			close:     fake.Close,
		}
	}
}

func openTarget(o *options, getenv func(string) string) *server {
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.MaxIdleConns, tr.MaxIdleConnsPerHost = o.workers, o.workers
	tr.ResponseHeaderTimeout = 30 * time.Second // Twilio's own, as far as is known
	return &server{
		transport: toTarget{o.target, tr},
		user:      cmp.Or(getenv("TWILIO_ACCOUNT_SID"), twiliotest.AccountSid),
		password:  cmp.Or(getenv("TWILIO_AUTH_TOKEN"), twiliotest.AuthToken),
		doubled:   func() *int { return nil },
		close:     tr.CloseIdleConnections,
	}
}
