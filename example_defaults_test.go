package pacer_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// Nobody has set a limit, and so Twilio's published one for a long code applies. The first
// time that this is felt it is told: here by a call that cannot wait so long, else when calls
// have waited for 5 s.
func ExampleAlert_pacedByDefault() {
	fake := twiliotest.New(twiliotest.Config{})
	told := make(chan pacer.Alert, 1)
	c, err := pacer.New(credentials, pacer.WithHTTPClient(fake.Client()),
		pacer.WithAlert(func(a pacer.Alert) { told <- a }))
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	for range 3 { // of which the second and the third are refused
		_, _ = c.WithContext(ctx).Api.CreateMessage(message("+15005550006", "hello"))
	}
	a := <-told
	fmt.Printf("%s\n  %v\n  %s\n", a.Kind, a.Err, a.Advice)
	// Output:
	// paced by default
	//   api/Messages:create from +1500•••0006 leaves at 1/s, pacer's default for this kind of sender (long code), as no limit of yours gives it a rate; source: Twilio support, article 115002943027, Understanding Twilio Rate Limits and Message Queues; a call was refused since it could not wait for its turn; 0 wait now
	//   if Twilio gives you more, set your rate, with the number in full: pacer.WithLimits(pacer.Limits{{Resource: "Messages", Sender: "+1500•••0006", Rate: 2}}), or in PACER_LIMITS [{"resource":"Messages","sender":"+1500•••0006","rate":2}]
}

// A Messaging Service may have any number of senders. With this option the client asks how
// many, when it first sends through the service, and no call waits for the answer.
func ExampleWithPoolDiscovery() {
	const service = "MG0123456789abcdef0123456789abcdef"
	fake := twiliotest.New(twiliotest.Config{})
	fake.AddServiceNumbers(service, "+15005550001", "+15005550002", "+18335550003") // the last one is toll-free
	c, err := pacer.New(credentials, pacer.WithHTTPClient(fake.Client()), pacer.WithPoolDiscovery(true))
	if err != nil {
		fmt.Println(err)
		return
	}

	send := func() {
		if _, err := c.Api.CreateMessage(message("", "hello").SetMessagingServiceSid(service)); err != nil {
			fmt.Println(err)
		}
	}
	rate := func() float64 {
		for _, b := range c.Stats().Buckets {
			if b.Resource.Sender == service {
				return b.Rate // 0: there is none
			}
		}
		return 0
	}
	fmt.Println(len(fake.Accepted()), "requests before the service is used")
	send()
	for rate() == 0 {
		time.Sleep(time.Millisecond)
	}
	send()
	fmt.Println(rate(), "messages per second")
	// Output:
	// 0 requests before the service is used
	// 5 messages per second
}

// One pool of goroutines over several senders runs at the pace of the slowest one: sooner or
// later all of them wait for it. A pool for each sender does not. In package queue each
// sender has a lane of its own, which is the same.
func Example_onePoolForEachSender() {
	const slow, fast = "+15005550006", "55501"
	fake := twiliotest.New(twiliotest.Config{})
	c, err := pacer.New(credentials, pacer.WithHTTPClient(fake.Client()), pacer.WithLimits(pacer.Limits{
		{Resource: pacer.Messages, Sender: slow, Rate: 2},
		{Resource: pacer.Messages, Sender: fast, Rate: 1000},
	}))
	if err != nil {
		fmt.Println(err)
		return
	}

	var pools sync.WaitGroup
	for sender, messages := range map[string]int{slow: 4, fast: 100} {
		texts := make(chan string)
		for range 2 { // goroutines of this sender alone
			pools.Go(func() {
				for text := range texts {
					if _, err := c.Api.CreateMessage(message(sender, text)); err != nil {
						fmt.Println(err)
					}
				}
			})
		}
		pools.Go(func() {
			defer close(texts)
			for i := range messages {
				texts <- fmt.Sprintf("message %d", i)
			}
		})
	}
	pools.Wait()

	sent := map[string]int{}
	for _, m := range fake.Messages() { // in the order in which they were sent
		if sent[m.Sender]++; sent[fast] == 100 {
			break
		}
	}
	fmt.Println("when the short code had sent its 100, the long code had still some to send:", sent[slow] < 4)
	// Output: when the short code had sent its 100, the long code had still some to send: true
}
