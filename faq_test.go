package pacer

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio-pacer/pacer/twiliotest"
)

// The figures of docs/faq.md: 100 messages of a long code and 100 of a short code, in turn,
// sent by one pool of ten goroutines, and by a pool of five for each sender.
func TestOnePoolOverSeveralSendersRunsAtThePaceOfTheSlowest(t *testing.T) {
	const slow, fast = sender, "55501"
	for name, tt := range map[string]struct {
		pools      [][]string // the senders of each
		goroutines int
		from, to   time.Duration // when the short code's last message is sent
	}{
		"one pool":               {[][]string{{slow, fast}}, 10, 89 * time.Second, 100 * time.Second},
		"a pool for each sender": {[][]string{{slow}, {fast}}, 5, 0, 1100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := twiliotest.New(twiliotest.Config{})
				c := fakeClient(t, fake, quiet)
				start := time.Now()
				var wg sync.WaitGroup
				for _, senders := range tt.pools {
					list := make(chan string)
					for range tt.goroutines {
						wg.Go(func() {
							for from := range list {
								if err := createOn(c.RestClient, from); err != nil {
									t.Error(err)
								}
							}
						})
					}
					wg.Go(func() {
						defer close(list)
						for range 100 {
							for _, from := range senders {
								list <- from
							}
						}
					})
				}
				wg.Wait()
				var last time.Duration
				for _, m := range fake.Messages() {
					if m.Sender == fast {
						last = m.Time.Sub(start)
					}
				}
				if last < tt.from || last > tt.to {
					t.Errorf("the short code's last message was sent after %v, expected %v to %v", last, tt.from, tt.to)
				}
			})
		})
	}
}
