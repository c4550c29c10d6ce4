package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twilio/twilio-go"
	api "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/queue"
	"github.com/twilio-pacer/pacer/queue/sqlitequeue"
	"github.com/twilio-pacer/pacer/twiliotest"
)

// A demo is all of pacer without an account.
type demo struct {
	dir    string
	n      int
	rate   float64
	fresh  bool
	listen string        // address of the dashboard
	every  time.Duration // between two lines of progress
}

// demoEnd is what "pacer demo --json" prints.
type demoEnd struct {
	Total    int64 `json:"total"`    // recipients of the campaign
	Sent     int64 `json:"sent"`     // of them, in this run and in earlier ones
	Waiting  int64 `json:"waiting"`  // of them
	Accepted int   `json:"accepted"` // by the fake, in this run
	Twice    int   `json:"twice"`    // of those that the fake has accepted
}

func (a *app) demo() *cobra.Command {
	d := demo{every: time.Second}
	cmd := &cobra.Command{
		Use: "demo", Short: "See a campaign run, without an account", Args: exactly(),
		Long: `Runs a fake Twilio, a queue in a file, a worker and a campaign, all in this process. Nothing is
really sent. It prints the address of a dashboard, which stays until Ctrl-C. The next run goes on where this one has
ended, and sends nothing twice. While it runs, other commands look at the same queue, with the line that it prints.

With --json it ends as soon as the campaign is done.`,
		Example: "  pacer demo\n  pacer demo --n 200 --rate 20 --fresh",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.runDemo(cmd.Context(), &d) },
	}
	cmd.Flags().StringVar(&d.dir, "dir", "", "the `folder` for the queue's file; default: pacer-demo in the user's cache folder")
	cmd.Flags().IntVar(&d.n, "n", 2000, "how many `recipients` the campaign has")
	cmd.Flags().Float64Var(&d.rate, "rate", 100, "messages a `second`")
	cmd.Flags().BoolVar(&d.fresh, "fresh", false, "forget earlier runs first")
	cmd.Flags().StringVar(&d.listen, "listen", "127.0.0.1:0", "the `address` of the dashboard, on loopback; port 0 is a free one")
	return cmd
}

// open opens the demonstration's queue.
func (d *demo) open() (*queue.Queue, string, error) {
	if d.n < 1 || !(d.rate > 0) {
		return nil, "", usage("--n %d, --rate %v: expected at least one recipient, and a rate above 0", d.n, d.rate)
	}
	if d.dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, "", fmt.Errorf("%w: expected --dir", err)
		}
		d.dir = filepath.Join(cache, "pacer-demo")
	}
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return nil, "", err
	}
	path := filepath.Join(d.dir, "queue.db")
	if d.fresh {
		for _, end := range []string{"", "-wal", "-shm", "-turn"} {
			if err := os.Remove(path + end); err != nil && !errors.Is(err, os.ErrNotExist) {
				return nil, "", err
			}
		}
	}
	engine, err := sqlitequeue.Open(path)
	if err != nil {
		return nil, "", err
	}
	q, err := queue.Open(engine, queue.WithAccount(twiliotest.AccountSid))
	if err != nil {
		return nil, "", errors.Join(err, engine.Close())
	}
	return q, path, nil
}

func (a *app) runDemo(ctx context.Context, d *demo) (err error) {
	q, path, err := d.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.Close()) }()

	// The fake takes a little less than the campaign wants, as a real account may.
	fake := twiliotest.New(twiliotest.Config{
		Latency: 40 * time.Millisecond,
		Limits:  []twiliotest.Limit{{Resource: "Messages", Rate: max(1, int(d.rate))}},
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	defer running.Wait()
	defer stopServing()
	running.Go(func() { _ = serve(serving, listener, fake, 0) })

	client, err := pacer.New(pacer.ClientParams{Username: twiliotest.AccountSid, Password: twiliotest.AuthToken},
		pacer.WithBaseURL("http://"+listener.Addr().String()), pacer.WithLogger(a.log()),
		pacer.WithLimits(pacer.Limits{{Resource: "*", Rate: pacer.Unlimited}, {Resource: pacer.Messages, Rate: d.rate}}))
	if err != nil {
		return err
	}
	worker, err := queue.NewWorker(q, client, queue.WithGrace(2*time.Second), queue.WithLogger(a.log()))
	if err != nil {
		return err
	}
	campaign, err := d.campaign(ctx, q)
	if err != nil {
		return err
	}
	shown := board{address: d.listen}
	if err := shown.open(q, client, "until the demonstration ends", "off", a.log()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shown.close()) }()
	running.Go(func() { shown.serve(serving, a.log()) })
	a.say("A campaign of %d messages runs against a fake Twilio on this machine. Ctrl-C ends it. The dashboard:\n\n  %s\n\nThe same by other commands:\n\n  export PACER_QUEUE=sqlite:%s TWILIO_ACCOUNT_SID=%s\n  pacer campaign show demo\n  pacer queue stats\n",
		d.n, shown.at(""), path, twiliotest.AccountSid)

	working, stopWorking := context.WithCancel(ctx)
	defer stopWorking()
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(working) }()
	watched := a.watchDemo(ctx, campaign, d.every)
	if watched == nil && ctx.Err() == nil && !a.json {
		a.say("The campaign is done. The dashboard stays until Ctrl-C.")
		<-ctx.Done()
	}
	stopWorking()
	if err := errors.Join(watched, <-ended); err != nil {
		return err
	}
	return a.endDemo(context.WithoutCancel(ctx), campaign, fake)
}

// campaign makes or finds the campaign, with its recipients.
func (d *demo) campaign(ctx context.Context, q *queue.Queue) (*queue.Campaign, error) {
	c, err := q.Campaign(ctx, "demo", queue.CampaignOptions{Rate: d.rate})
	if err != nil {
		return nil, err
	}
	recipients := func(yield func(queue.Recipient) bool) {
		for i := range d.n {
			if !yield(queue.Recipient{ID: fmt.Sprintf("+1555%07d", i)}) {
				return
			}
		}
	}
	_, err = c.Enqueue(ctx, recipients, func(tw *twilio.RestClient, r queue.Recipient) error {
		p := &api.CreateMessageParams{}
		p.SetTo(r.ID).SetFrom("+15005550006").SetBody("Hello from pacer demo.")
		_, err := tw.Api.CreateMessage(p)
		return err
	})
	return c, err
}

// watchDemo prints how far the campaign is, until it is done or ctx ends.
func (a *app) watchDemo(ctx context.Context, c *queue.Campaign, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		p, err := c.Progress(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case p.State == queue.CampaignDone:
			return nil
		}
		a.say("%s: %d of %d sent, %d wait, %s", p.State, p.Sent, p.Total, p.Waiting, cmp.Or(ends(p.ETA), "no end in sight"))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// ends says when something ends; "": nobody knows.
func ends(eta time.Time) string {
	if eta.IsZero() {
		return ""
	}
	return fmt.Sprintf("%v to go", max(0, time.Until(eta)).Round(time.Second))
}

func (a *app) endDemo(ctx context.Context, c *queue.Campaign, fake *twiliotest.Fake) error {
	p, err := c.Progress(ctx)
	if err != nil {
		return err
	}
	e := demoEnd{p.Total, p.Sent, p.Waiting, len(fake.Accepted()), len(fake.Duplicates())}
	if a.json {
		return a.printJSON(e)
	}
	a.say("%d of %d sent, %d wait. The fake has accepted %d in this run, %d of them twice.", e.Sent, e.Total, e.Waiting, e.Accepted, e.Twice)
	if e.Waiting == 0 {
		a.say("The campaign is done. A new one begins with: pacer demo --fresh")
	} else {
		a.say("Run pacer demo again to go on.")
	}
	return nil
}
