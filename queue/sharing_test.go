package queue_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go"
	lookups "github.com/twilio/twilio-go/rest/lookups/v2"
)

// many stores n requests that build makes.
func (w *world) many(n int, build func(i int) func(*twilio.RestClient) error, opts ...queue.EnqueueOption) {
	w.t.Helper()
	done, err := w.q.EnqueueMany(w.t.Context(), func(yield func(queue.Item) bool) {
		for i := range n {
			if !yield(queue.Item{Build: build(i), Options: opts}) {
				return
			}
		}
	})
	if err != nil || done.New != n {
		w.t.Fatal(done, err)
	}
}

// numbered are numbers beside sender, receiver and otherSender.
func numbered(i int) string { return fmt.Sprintf("+1500555%04d", 1000+i) }

func verifications(i int) func(*twilio.RestClient) error { return verification(fmt.Sprintf("%04d", i)) }

func lookup(i int) func(*twilio.RestClient) error {
	return func(tw *twilio.RestClient) error {
		_, err := tw.LookupsV2.FetchPhoneNumber(numbered(i), new(lookups.FetchPhoneNumberParams))
		return err
	}
}

// What takes 30 s takes its share of the slots, and all else goes on.
func TestWhatHangsLeavesSlotsToOthers(t *testing.T) {
	hangs := func(products ...string) func(*twiliotest.Request) bool {
		return func(r *twiliotest.Request) bool { return slices.Contains(products, r.Product) }
	}
	fromMany := func(i int) func(*twilio.RestClient) error {
		return message(numbered(i), receiver, fmt.Sprint("slow ", i))
	}
	fromOne := func(i int) func(*twilio.RestClient) error {
		return message(otherSender, receiver, fmt.Sprint("slow ", i))
	}
	messages := func(i int) func(*twilio.RestClient) error { return message(sender, receiver, fmt.Sprint("other ", i)) }
	type builds []func(i int) func(*twilio.RestClient) error
	for name, c := range map[string]struct {
		slow    func(*twiliotest.Request) bool
		hanging builds
		others  func(i int) func(*twilio.RestClient) error
		opts    []queue.EnqueueOption // of the others
		slots   int
	}{
		"one product":                    {hangs("verify"), builds{verifications}, messages, nil, 200},
		"one product, ten slots":         {hangs("verify"), builds{verifications}, messages, nil, 10},
		"one product, what is Low":       {hangs("verify"), builds{verifications}, messages, []queue.EnqueueOption{queue.Low}, 20},
		"two products":                   {hangs("verify", "lookups"), builds{verifications, lookup}, messages, nil, 200},
		"two products, twenty slots":     {hangs("verify", "lookups"), builds{verifications, lookup}, messages, nil, 20},
		"one sender":                     {from(otherSender), builds{fromOne}, messages, nil, 200},
		"all senders":                    {hangs("api"), builds{fromMany}, verifications, nil, 200},
		"all senders, eight slots":       {hangs("api"), builds{fromMany}, verifications, nil, 8},
		"all senders but one that is in": {func(r *twiliotest.Request) bool { return r.Product == "api" && r.Sender != sender }, builds{fromMany}, messages, []queue.EnqueueOption{queue.High}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			oneOfEachKind(t, "one product, ten slots", "two products", "one sender", "all senders, eight slots", "all senders but one that is in")
			bubble(t, func(t *testing.T) {
				w := newWorld(t, twiliotest.Config{Latency: 50 * time.Millisecond})
				w.fake.Inject(twiliotest.Fault{Kind: twiliotest.Slow, Delay: 30 * time.Second, Match: c.slow})
				for _, build := range c.hanging {
					w.many(400, build)
				}
				w.work(w.client(unlimited), queue.WithConcurrency(c.slots))
				time.Sleep(3 * time.Second)
				w.many(100, c.others, c.opts...)
				time.Sleep(10 * time.Second)
				sent := 0
				for _, r := range w.fake.Accepted() {
					if r.Time.Sub(w.start) >= 3*time.Second && !c.slow(&r) {
						sent++
					}
				}
				if sent != 100 {
					t.Errorf("%d of 100 others were sent in 10 s", sent)
				}
			})
		})
	}
}

// sentAfter is how long after an instant the message with a text was accepted.
func (w *world) sentAfter(body string, asked time.Time) time.Duration {
	w.t.Helper()
	at, ok := w.sent()[body]
	if !ok {
		w.t.Errorf("%q is not sent", body)
	}
	return w.start.Add(at).Sub(asked)
}

// Lanes that outnumber the slots wait for one by priority, and one that is urgent next.
func TestUrgentGoesNextWhenAllSlotsAreTaken(t *testing.T) {
	const latency = 200 * time.Millisecond
	for name, c := range map[string]struct {
		slots, lanes int
		from         string
		others, p    queue.EnqueueOption
		limits       []pacer.Limit
	}{
		"High of a new lane":          {20, 400, sender, queue.Low, queue.High, nil},
		"High of a lane that waits":   {20, 400, numbered(333), queue.Low, queue.High, nil},
		"Normal before Low":           {20, 400, sender, queue.Low, queue.Normal, nil},
		"High before Normal":          {20, 400, sender, queue.Normal, queue.High, nil},
		"a worker with one slot":      {1, 30, sender, queue.Low, queue.High, nil},
		"a lane that waits, one slot": {1, 30, numbered(22), queue.Low, queue.High, nil},
		"all lanes at a pace":         {20, 400, sender, queue.Low, queue.High, []pacer.Limit{{Resource: "Messages", Rate: 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			oneOfEachKind(t, "High of a new lane", "Normal before Low", "a lane that waits, one slot", "all lanes at a pace")
			bubble(t, func(t *testing.T) {
				w := newWorld(t, twiliotest.Config{Latency: latency})
				w.many(4*c.lanes, func(i int) func(*twilio.RestClient) error {
					return message(numbered(i%c.lanes), receiver, fmt.Sprint("low ", i))
				}, c.others)
				limits := c.limits
				if limits == nil {
					limits = []pacer.Limit{unlimited}
				}
				w.work(w.client(limits...), queue.WithConcurrency(c.slots))
				time.Sleep(2*time.Second + 50*time.Millisecond)
				asked := time.Now()
				w.enqueueFrom(c.from, "urgent", c.p)
				time.Sleep(3 * time.Second)
				if took := w.sentAfter("urgent", asked); took > 3*latency {
					t.Errorf("it was sent after %v, expected the next slot or two", took)
				}
			})
		})
	}
}

// Urgent requests that never end do not keep the others from slots.
func TestUrgentOnesLeaveSlotsToOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{Latency: 200 * time.Millisecond})
		urgent := func(i int) func(*twilio.RestClient) error {
			return message(numbered(i%200), receiver, fmt.Sprint("urgent ", i))
		}
		w.many(1000, urgent, queue.High)
		w.many(20, func(i int) func(*twilio.RestClient) error {
			return message(numbered(1000+i), receiver, fmt.Sprint("low ", i))
		}, queue.Low)
		w.work(w.client(unlimited), queue.WithConcurrency(10))
		time.Sleep(10 * time.Second)
		low := 0
		for body := range w.sent() {
			if strings.HasPrefix(body, "low") {
				low++
			}
		}
		if low != 20 {
			t.Errorf("%d of 20 were sent in 10 s beside urgent ones, expected one of any ten", low)
		}
	})
}

// The pace of each lane holds although the lanes outnumber the slots: a turn does not age while
// its request waits for a slot, and go together with the next one.
func TestPaceHoldsWhenAllSlotsAreTaken(t *testing.T) {
	for _, rate := range []float64{1, 5} {
		for _, share := range []float64{0.3, 0.8} { // of the slots that all lanes could use
			if testing.Short() && (rate == 1) != (share == 0.8) {
				continue // -short has each rate and each share once
			}
			t.Run(fmt.Sprintf("%v/s, %v of the slots", rate, share), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					const latency = 310 * time.Millisecond
					lanes := unlessShort(100, 40)
					w := newWorld(t, twiliotest.Config{Latency: latency, Limits: []twiliotest.Limit{{Resource: "Messages", Rate: int(rate), PerSender: true}}})
					seconds := 20 / rate
					w.many(20*lanes, func(i int) func(*twilio.RestClient) error {
						return message(numbered(i%lanes), receiver, fmt.Sprint(i))
					})
					slots := int(share * rate * float64(lanes) * latency.Seconds())
					w.work(w.client(pacer.Limit{Resource: "Messages", Rate: rate}), queue.WithConcurrency(slots))
					time.Sleep(time.Duration(seconds * float64(time.Second)))
					count, total := map[string]int{}, 0
					for _, m := range w.fake.Messages() {
						count[m.Sender]++
						total++
					}
					if len(count) != lanes {
						t.Fatalf("%d of %d lanes were served", len(count), lanes)
					}
					for from, n := range count {
						if n < total/lanes/2 {
							t.Errorf("%s has sent %d, the mean is %d", from, n, total/lanes)
						}
					}
					could := min(rate*float64(lanes), 0.875*float64(slots)/latency.Seconds())
					refused := len(w.fake.Refused())
					if got := float64(total) / seconds; got < 0.85*could {
						t.Errorf("%.1f/s of all lanes, expected %.1f", got, could)
					}
					if refused > total/100 {
						t.Errorf("%d are throttled beside %d that are accepted", refused, total)
					}
				})
			})
		}
	}
}

// A lane that is held has no slot, also of a worker that has only one.
func TestHeldLaneFreesItsSlot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{Latency: 100 * time.Millisecond})
		f := status(429, 63038) // a quota: an hour
		f.Match = from(otherSender)
		w.fake.Inject(f)
		for i := range 20 {
			w.enqueueFrom(otherSender, fmt.Sprint("held ", i), queue.High)
		}
		w.work(w.client(unlimited), queue.WithConcurrency(1))
		time.Sleep(time.Second)
		asked := time.Now()
		w.enqueueFrom(sender, "other", queue.Low)
		time.Sleep(10 * time.Second)
		if took := w.sentAfter("other", asked); took > 500*time.Millisecond {
			t.Errorf("it was sent after %v beside a lane that is held", took)
		}
	})
}

// A worker that is stopped while all slots are taken lets those who wait for one go.
func TestWorkerStopsWhileAllSlotsAreTaken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, twiliotest.Config{Latency: 5 * time.Second})
		w.many(100, func(i int) func(*twilio.RestClient) error { return message(numbered(i), receiver, fmt.Sprint(i)) })
		stop := w.work(w.client(unlimited), queue.WithConcurrency(10))
		time.Sleep(time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(w.start); d > 6*time.Second {
			t.Errorf("it has stopped after %v, expected when the answers had come", d)
		}
		if s, err := w.q.Stats(t.Context()); err != nil || s.Total.Sending != 0 || s.Total.Ready+s.Total.Sent != 100 || s.Total.Sent > 10 {
			t.Errorf("%+v, %v", s.Total, err)
		}
	})
}
