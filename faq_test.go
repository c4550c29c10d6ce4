package pacer

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twilio/twilio-go"

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

// What docs/faq.md says of Twilio's queue and of what waits here. 600 messages of a campaign, of one
// long code, and ten seconds later a password. Handed over at once, all of them are ahead of it, ten
// minutes' worth at the 1/s at which Twilio sends them. Paced, it is the next but one.
func TestPasswordOvertakesOnlyWhatWasNotHandedOver(t *testing.T) {
	for name, tt := range map[string]struct {
		limits Limits
		ahead  int // of what Twilio has when the password comes, at most
		least  int
	}{
		"handed over at once": {Limits{{Resource: Messages, Rate: Unlimited}}, 600, 600},
		"paced":               {nil, 13, 0},
	} {
		t.Run(name, func(t *testing.T) {
			campaign(t, tt.limits, func(c *Client, fake *twiliotest.Fake, _ context.CancelFunc) {
				time.Sleep(10 * time.Second)
				if err := text(c.WithContext(WithPriority(bg, High)), "password"); err != nil {
					t.Fatal(err)
				}
				ahead := len(fake.Messages()) - 1
				if ahead > tt.ahead || ahead < tt.least {
					t.Errorf("%d messages are ahead of the password, expected %d to %d", ahead, tt.least, tt.ahead)
				}
			})
		})
	}
}

// A campaign with a mistake in it is stopped: what waits here is never sent.
func TestWhatWaitsCanBeCancelled(t *testing.T) {
	for name, tt := range map[string]struct {
		limits      Limits
		least, most int // messages that are sent all the same
	}{
		"handed over at once": {Limits{{Resource: Messages, Rate: Unlimited}}, 600, 600},
		"paced":               {nil, 1, 12},
	} {
		t.Run(name, func(t *testing.T) {
			campaign(t, tt.limits, func(_ *Client, fake *twiliotest.Fake, cancel context.CancelFunc) {
				time.Sleep(10 * time.Second)
				cancel()
				time.Sleep(time.Hour)
				if n := len(fake.Messages()); n < tt.least || n > tt.most {
					t.Errorf("%d messages were sent, expected %d to %d", n, tt.least, tt.most)
				}
			})
		})
	}
}

// A message that is of no use after five minutes is not sent after them, and its caller knows at once.
func TestWhatWaitsHasADeadline(t *testing.T) {
	campaign(t, nil, func(c *Client, fake *twiliotest.Fake, _ context.CancelFunc) {
		ctx, cancel := context.WithTimeout(bg, 5*time.Minute)
		defer cancel()
		began := time.Now()
		err := text(c.WithContext(ctx), "late")
		if wantWaitError(t, err, ErrWaitTooLong); time.Since(began) > time.Second {
			t.Errorf("refused after %v, expected at once", time.Since(began))
		}
		time.Sleep(time.Hour)
		for _, m := range fake.Messages() {
			if m.Form.Get("Body") == "late" {
				t.Errorf("it was sent, at %v", m.Time)
			}
		}
	})
}

// Without a pace the retries after a throttle stay.
func TestWithoutAPaceRetriesStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, first(2, throttle("Retry-After", "1")), WithLimits(Limits{{Resource: Messages, Rate: Unlimited}}))
		if err := w.send(); err != nil || len(w.times()) != 3 {
			t.Errorf("%v after attempts at %v, expected the third one to be accepted", err, w.times())
		}
	})
}

// campaign has 600 messages of one long code sent from a goroutine each, and calls f while they wait.
func campaign(t *testing.T, limits Limits, f func(*Client, *twiliotest.Fake, context.CancelFunc)) {
	synctest.Test(t, func(t *testing.T) {
		fake := twiliotest.New(twiliotest.Config{})
		c := fakeClient(t, fake, quiet, WithLimits(limits))
		ctx, cancel := context.WithCancel(bg)
		defer cancel()
		var wg sync.WaitGroup
		for range 600 {
			wg.Go(func() {
				if err := text(c.WithContext(ctx), "campaign"); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		f(c, fake, cancel)
		cancel()
		wg.Wait()
	})
}

func text(rc *twilio.RestClient, body string) error {
	_, err := rc.Api.CreateMessage(message(sender).SetBody(body))
	return err
}
