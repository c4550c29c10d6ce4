// Otp shows that a one-time password does not wait for the campaign before it. A sender
// that may send 10 messages a second has a campaign of 100 to send. Meanwhile somebody
// logs in every second, and the password, enqueued with queue.High, goes first. It takes
// some 12 s. It uses a fake Twilio in memory and a queue in a temporary file, and needs
// no account.
//
//	go -C queue run ./examples/otp
//
// What changes for Twilio itself: leave out WithHTTPClient and take the credentials from
// the environment (pacer.ClientParams{}).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

var (
	campaign = flag.Int("campaign", 100, "how many `messages` the campaign has")
	otps     = flag.Int("otps", 8, "how many `passwords`, one a second")
)

const (
	rate     = 10 // of the sender, messages a second
	sender   = "+15005550006"
	receiver = "+15555550100"
	patience = 5 * time.Minute
)

func main() {
	flag.Parse()
	if *campaign < 1 || *otps < 1 {
		fmt.Fprintln(os.Stderr, "otp: expected -campaign and -otps of 1 or more")
		os.Exit(2)
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "otp:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	dir, err := os.MkdirTemp("", "pacer-otp-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	engine, err := sqlitequeue.Open(filepath.Join(dir, "queue.db"))
	if err != nil {
		return err
	}
	q, err := queue.Open(engine, queue.WithAccount(twiliotest.AccountSid))
	if err != nil {
		return errors.Join(err, engine.Close())
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	fake := twiliotest.New(twiliotest.Config{
		Latency: 50 * time.Millisecond,
		Limits:  []twiliotest.Limit{{Resource: "Messages", Rate: rate, PerSender: true}},
	})

	// A campaign is Low unless it says otherwise, so that all else goes first.
	c, err := q.Campaign(ctx, "spring-sale", queue.CampaignOptions{Rate: rate})
	if err != nil {
		return err
	}
	enqueued := make(map[string]time.Time) // by the message's text
	_, err = c.Enqueue(ctx, func(yield func(queue.Recipient) bool) {
		for i := range *campaign {
			if !yield(queue.Recipient{ID: fmt.Sprintf("customer %d", i)}) {
				return
			}
		}
	}, func(tw *twilio.RestClient, r queue.Recipient) error {
		text := "Our spring sale begins today, " + r.ID + "."
		enqueued[text] = time.Now()
		return send(tw, text)
	})
	if err != nil {
		return err
	}
	client, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken},
		pacer.WithHTTPClient(fake.Client()), pacer.WithLimits(pacer.Limits{{Resource: pacer.Messages, Rate: rate}}))
	if err != nil {
		return err
	}
	worker, err := queue.NewWorker(q, client)
	if err != nil {
		return err
	}
	working, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(working) }()
	defer func() { stop(); err = errors.Join(err, <-ended) }() // before q.Close

	fmt.Printf("A campaign of %d messages waits for a sender of %d a second, and somebody logs in every second.\n\n", *campaign, rate)
	for i := range *otps {
		text := fmt.Sprintf("%06d is your code.", 271828+i)
		enqueued[text] = time.Now()
		id, err := q.Enqueue(ctx, func(tw *twilio.RestClient) error { return send(tw, text) },
			queue.High, // before the campaign
			queue.Deadline(time.Now().Add(10*time.Minute))) // later it is of no use
		if err != nil {
			return err
		}
		r, err := q.Wait(ctx, id)
		if err != nil {
			return err
		}
		p, err := c.Progress(ctx)
		if err != nil {
			return err
		}
		fmt.Printf("  code %d: %s after %4.0f ms; of the campaign %3d are sent, %3d wait\n",
			i+1, r.State, 1000*r.Finished.Sub(enqueued[text]).Seconds(), p.Sent, p.Waiting)
		time.Sleep(time.Until(enqueued[text].Add(time.Second)))
	}
	for {
		p, err := c.Progress(ctx)
		if err != nil {
			return err
		}
		if p.State == queue.CampaignDone {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}

	// From Enqueue to Twilio, by the fake's account.
	var codes, sales []time.Duration
	for _, m := range fake.Messages() {
		took := m.Time.Sub(enqueued[m.Form.Get("Body")])
		if strings.HasSuffix(m.Form.Get("Body"), "is your code.") {
			codes = append(codes, took)
		} else {
			sales = append(sales, took)
		}
	}
	fmt.Printf("\nFrom Enqueue to Twilio, seconds\n%12s %8s %8s %8s\n", "", "least", "median", "most")
	row("codes", codes)
	row("campaign", sales)
	lost, doubled := *campaign+*otps-len(codes)-len(sales), len(fake.Duplicates())
	fmt.Printf("\n%d lost, %d doubled.\n", lost, doubled)
	if lost != 0 || doubled != 0 {
		return errors.New("that is not as it should be: please report this")
	}
	return nil
}

func send(tw *twilio.RestClient, text string) error {
	params := &api.CreateMessageParams{}
	params.SetFrom(sender).SetTo(receiver).SetBody(text)
	_, err := tw.Api.CreateMessage(params)
	return err
}

func row(name string, took []time.Duration) {
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	fmt.Printf("%12s %8.2f %8.2f %8.2f\n", name, took[0].Seconds(), took[len(took)/2].Seconds(), took[len(took)-1].Seconds())
}
