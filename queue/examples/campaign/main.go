// Campaign sends to 10,000 recipients of a CSV file, with a live plot. It is paused, goes
// on, and is made faster while it runs. Then the same file is enqueued once more, and
// nobody gets a second message. It takes some 30 s. It uses a fake Twilio in memory and a
// queue in a temporary file, and needs no account.
//
//	go -C queue run ./examples/campaign
//	go -C queue run ./examples/campaign -n 600 -rate 100 -then 300     # 6 s
//
// What changes for Twilio itself: leave out WithHTTPClient, take the credentials from the
// environment (pacer.ClientParams{}), and say in WithLimits what your sender may send. The
// file of the queue then has a place that stays, and the worker is a process of its own
// (see examples/worker).
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

var (
	n    = flag.Int("n", 10_000, "how many `recipients`")
	rate = flag.Float64("rate", 250, "the campaign's rate at first, in messages `per second`")
	then = flag.Float64("then", 500, "its rate after the first third, in messages `per second`")
)

const (
	limit    = 1000 // what Twilio takes from the sender: the campaign stays below it
	patience = 5 * time.Minute
)

func main() {
	flag.Parse()
	if *n < 10 || !(*rate >= 1 && *rate <= limit) || !(*then >= 1 && *then <= limit) {
		fmt.Fprintf(os.Stderr, "campaign: expected -n of 10 or more, -rate and -then from 1 to %d\n", limit)
		os.Exit(2)
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "campaign:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	dir, err := os.MkdirTemp("", "pacer-campaign-")
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

	// One program may enqueue, others send and watch: all they share is the file.
	c, err := q.Campaign(ctx, "spring-sale", queue.CampaignOptions{Rate: *rate})
	if err != nil {
		return err
	}
	message := &api.CreateMessageParams{}
	message.SetFrom("+15005550006").SetBody("Hello {{.name}}, our spring sale begins today.")
	start := time.Now()
	done, err := c.EnqueueCSV(ctx, bytes.NewReader(recipients(*n)), message)
	if err != nil {
		return err
	}
	fmt.Printf("%d recipients enqueued from CSV in %.1f s.\n\n", done.New, time.Since(start).Seconds())

	fake := twiliotest.New(twiliotest.Config{
		Latency: 50 * time.Millisecond,
		Limits:  []twiliotest.Limit{{Resource: "Messages", Rate: limit, PerSender: true}},
	})
	client, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken},
		pacer.WithHTTPClient(fake.Client()), pacer.WithLimits(pacer.Limits{{Resource: pacer.Messages, Rate: limit}}))
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
	err = watch(ctx, c)
	stop()
	if err = errors.Join(err, <-ended); err != nil {
		return err
	}

	again, err := c.EnqueueCSV(ctx, bytes.NewReader(recipients(*n)), message)
	if err != nil {
		return err
	}
	fmt.Printf("The same file once more: %d new, %d known already.\n", again.New, again.Known)
	lost, doubled := max(0, *n-len(fake.Messages())), len(fake.Duplicates())
	fmt.Printf("%d recipients, %d messages at Twilio: %d lost, %d doubled.\n", *n, len(fake.Messages()), lost, doubled)
	if lost > 0 || doubled > 0 || again.New > 0 {
		return errors.New("that is not as it should be: please report this")
	}
	return nil
}

// recipients makes a file of recipients. The numbers are of a range that nobody has.
func recipients(n int) []byte {
	names := []string{"Ada", "Grace", "Edsger", "Barbara", "Alan"}
	var file bytes.Buffer
	file.WriteString("to,name\n")
	for i := range n {
		fmt.Fprintf(&file, "+1500555%04d%02d,%s\n", i/100, i%100, names[i%len(names)])
	}
	return file.Bytes()
}

// A column is a moment of the plot.
type column struct {
	perSecond float64
	paused    bool
}

// watch shows the campaign's progress until it is done. On the way it does what an
// operator might: it pauses the campaign, lets it go on, and makes it faster.
func watch(ctx context.Context, c *queue.Campaign) error {
	const every = 500 * time.Millisecond
	start, at := time.Now(), time.Now()
	sent := int64(0)
	var seen []column
	show := terminal(os.Stdout)
	pauseFor := min(2*time.Second, max(time.Second, time.Duration(*n)*time.Millisecond/2))
	var resume time.Time // when the pause ends
	paused, faster := false, false
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("it takes too long: %w", ctx.Err())
		}
		p, err := c.Progress(ctx)
		if err != nil {
			return err
		}
		now := time.Now()
		seen = append(seen, column{float64(p.Sent-sent) / now.Sub(at).Seconds(), p.State == queue.CampaignPaused})
		sent, at = p.Sent, now
		show(p, seen, now.Sub(start))

		switch part := float64(p.Sent) / float64(p.Total); {
		case p.State == queue.CampaignDone:
			fmt.Printf("\n%d sent, %d failed, %d in doubt in %.1f s.\n", p.Sent, p.Failed, p.InDoubt, now.Sub(start).Seconds())
			return nil
		case !paused && part >= 1./6:
			paused, resume = true, now.Add(pauseFor)
			err = c.Pause(ctx)
		case !resume.IsZero() && now.After(resume):
			resume = time.Time{}
			err = c.Resume(ctx)
		case paused && resume.IsZero() && !faster && part >= 1./3:
			faster = true
			err = c.SetRate(ctx, *then)
		}
		if err != nil {
			return err
		}
	}
}

// terminal returns what shows how far it is. On a terminal that is a picture that is drawn
// over itself, in a pipe a line every two seconds.
func terminal(f *os.File) func(queue.Progress, []column, time.Duration) {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return func(p queue.Progress, seen []column, took time.Duration) {
			if len(seen)%4 == 0 || p.State == queue.CampaignDone {
				fmt.Fprintf(f, "%3.0f s: %s, %d of %d sent, %.0f/s of %.0f/s, %d waiting, %d being sent%s\n",
					took.Seconds(), p.State, p.Sent, p.Total, seen[len(seen)-1].perSecond, p.Options.Rate, p.Waiting, p.Sending, eta(p))
			}
		}
	}
	lines := 0
	return func(p queue.Progress, seen []column, _ time.Duration) {
		if lines > 0 {
			fmt.Fprintf(f, "\x1b[%dA\x1b[J", lines)
		}
		text := plot(seen) + bar(p) + fmt.Sprintf("      %s: %.0f/s of %.0f/s, %d waiting, %d being sent, %d failed%s\n",
			p.State, seen[len(seen)-1].perSecond, p.Options.Rate, p.Waiting, p.Sending, p.Failed, eta(p))
		lines = strings.Count(text, "\n")
		fmt.Fprint(f, text)
	}
}

func eta(p queue.Progress) string {
	if p.ETA.IsZero() {
		return ""
	}
	return fmt.Sprintf(", ready in %.0f s", time.Until(p.ETA).Seconds())
}

func bar(p queue.Progress) string {
	const width = 50
	full := int(width * p.Sent / max(1, p.Total))
	return fmt.Sprintf("      %s%s %d of %d\n", strings.Repeat("█", full), strings.Repeat("░", width-full), p.Sent, p.Total)
}

// plot draws the messages of each half second, the last 70 of them.
func plot(seen []column) string {
	const rows, columns = 5, 70
	if len(seen) > columns {
		seen = seen[len(seen)-columns:]
	}
	top := max(*rate, *then)
	eighths := []rune(" ▁▂▃▄▅▆▇█")
	var b strings.Builder
	for row := rows - 1; row >= 0; row-- {
		fmt.Fprintf(&b, "%4.0f/s ", top*float64(row+1)/rows)
		for _, s := range seen {
			fill := 8 * (s.perSecond/top*rows - float64(row))
			b.WriteRune(eighths[int(min(8, max(0, fill+0.5)))])
		}
		b.WriteString("\n")
	}
	b.WriteString("       ")
	for _, s := range seen {
		if s.paused {
			b.WriteRune('p') // paused
		} else {
			b.WriteRune('·')
		}
	}
	return b.String() + "\n"
}
