package queue_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// askedForPools is how many requests for pools the fake has accepted.
func (w *world) askedForPools() (n int) {
	for _, r := range w.fake.Accepted() {
		if strings.HasPrefix(r.Resource, "messaging/") {
			n++
		}
	}
	return n
}

// A worker asks once how many numbers a Messaging Service has, and sends at their sum. With
// WithPoolDiscovery(false) it asks nothing, and the service is not paced. Where the answer is
// an error the worker goes on as if it had not asked.
func TestWorkerDiscoversPools(t *testing.T) {
	for name, tt := range map[string]struct {
		opts             []queue.WorkerOption
		limits           []pacer.Limit
		empty            bool
		asks, told, sent int // sent: within 20 s
	}{
		"by default":        {asks: 2, sent: 100},
		"switched off":      {opts: []queue.WorkerOption{queue.WithPoolDiscovery(false)}, told: 1, sent: 300},
		"a limit is set":    {limits: []pacer.Limit{{Resource: "Messages", Sender: service, Rate: 10}}, sent: 200},
		"the pool is empty": {empty: true, asks: 2, told: 1, sent: 300},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, twiliotest.Config{Latency: 50 * time.Millisecond})
				if !tt.empty {
					for i := range 5 {
						w.fake.AddServiceNumbers(service, fmt.Sprintf("+1500555%04d", i))
					}
				}
				var told atomic.Int64
				c, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken},
					pacer.WithHTTPClient(w.fake.Client()), pacer.WithLimits(append(pacer.Limits{}, tt.limits...)),
					pacer.WithAlert(func(a pacer.Alert) {
						if a.Kind == pacer.AlertPoolUnknown {
							told.Add(1)
						}
					}))
				if err != nil {
					t.Fatal(err)
				}
				w.enqueueAll(300, service)
				w.work(c, append(tt.opts, queue.WithConcurrency(4))...) // no herd before Twilio has answered
				time.Sleep(20 * time.Second)
				if n := len(w.fake.Messages()); n < tt.sent*95/100 || n > tt.sent+20 { // what left before is not paced
					t.Errorf("%d sent within 20 s, expected about %d", n, tt.sent)
				}
				time.Sleep(2 * time.Minute)
				if n := len(w.fake.Messages()); n != 300 {
					t.Errorf("%d sent in the end, expected 300", n)
				}
				if n := w.askedForPools(); n != tt.asks {
					t.Errorf("Twilio was asked %d times, expected %d", n, tt.asks)
				}
				if n := int(told.Load()); n != tt.told {
					t.Errorf("told %d times, expected %d", n, tt.told)
				}
			})
		})
	}
}
