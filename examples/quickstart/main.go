// Quickstart shows what pacer is for. It sends the same burst of messages twice, once
// through plain twilio-go, once through pacer. Each time a fresh fake Twilio on loopback
// accepts 20 messages a second from a sender and answers 429 to the rest. It needs no
// account and costs nothing.
//
//	go run ./examples/quickstart
//
// With -real and credentials in the environment it sends a few real messages instead.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/twilio-pacer/pacer"
	"github.com/twilio-pacer/pacer/twiliotest"
	"github.com/twilio/twilio-go"
	"github.com/twilio/twilio-go/client"
	api "github.com/twilio/twilio-go/rest/api/v2010"
)

var (
	n       = flag.Int("n", 200, "how many `messages` to send")
	workers = flag.Int("workers", 50, "how many `goroutines` send them")
	rate    = flag.Int("rate", 20, "the limit, in messages `per second`")
	real    = flag.Bool("real", false, "send to Twilio itself: real messages, which cost money (-n 3 -rate 1 unless set)")
)

func main() {
	flag.Parse()
	if *n < 1 || *workers < 1 || *rate < 1 {
		fmt.Fprintln(os.Stderr, "quickstart: -n, -workers and -rate must be 1 or more")
		os.Exit(2)
	}
	run := demo
	if *real {
		run = sendReal
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func demo() error {
	fmt.Printf("The same burst, %d messages from %d goroutines, through plain twilio-go and through pacer,\n", *n, *workers)
	fmt.Printf("to a fake Twilio on this machine that accepts %d messages a second and answers 429 to the rest.\n\n", *rate)

	// In a program of yours, these two functions are all the difference.
	plain := burst("twilio-go", func(c *client.Client) *twilio.RestClient {
		return twilio.NewRestClientWithParams(twilio.ClientParams{Client: c})
	})
	paced := burst("pacer", func(c *client.Client) *twilio.RestClient {
		return pacer.NewRestClientWithParams(pacer.ClientParams{Client: c},
			pacer.WithLimits(pacer.Limits{{Resource: pacer.Messages, Rate: float64(*rate)}}))
	})

	fmt.Println()
	printTable(plain, paced)
	var refused *client.TwilioRestError
	if errors.As(plain.err, &refused) {
		fmt.Printf("For each lost message twilio-go's caller got an error: %d, code %d, %s.\n", refused.Status, refused.Code, refused.Message)
	}
	fmt.Println()
	fmt.Println(`In your program:  "github.com/twilio/twilio-go"  ->  twilio "github.com/twilio-pacer/pacer"`)
	fmt.Println(`See it compile: go run ./examples/dropin     Set your account's limits: go run ./examples/limits`)

	if paced.lost > 0 || paced.doubled > 0 {
		return fmt.Errorf("pacer lost %d and doubled %d of %d messages: please report this; first error: %w",
			paced.lost, paced.doubled, *n, paced.err)
	}
	return nil
}

// A result is what became of one burst, as the fake saw it.
type result struct {
	name                                string
	delivered, lost, doubled, throttled int
	took                                time.Duration
	err                                 error // the first that a caller got
}

// burst sends all messages through one client to a fake of its own.
func burst(name string, newRestClient func(*client.Client) *twilio.RestClient) result {
	fake := twiliotest.NewServer(twiliotest.Config{
		Limits:  []twiliotest.Limit{{Resource: "Messages", Rate: *rate, PerSender: true}}, // window: 1 s, sliding
		Latency: 30 * time.Millisecond,
	})
	defer fake.Close()

	base := &client.Client{
		Credentials: client.NewCredentials(twiliotest.AccountSid, twiliotest.AuthToken),
		HTTPClient:  fake.Client(),
	}
	base.SetAccountSid(twiliotest.AccountSid)
	rest := newRestClient(base)

	p := startProgress(name, func() int { return fake.Stats().Throttled })
	sendAll(rest, "+15005550006", "+15555550100", p)
	p.stop()

	r := result{name: name, took: p.took, throttled: fake.Stats().Throttled, err: p.firstError()}
	r.doubled = len(fake.Duplicates()) // every message has a text of its own
	r.delivered = len(fake.Messages()) - r.doubled
	r.lost = *n - r.delivered
	return r
}

// sendAll is an ordinary program: goroutines that call CreateMessage.
func sendAll(rest *twilio.RestClient, from, to string, p *progress) {
	jobs := make(chan int)
	var wg sync.WaitGroup
	for range min(*workers, *n) {
		wg.Go(func() {
			for i := range jobs {
				params := &api.CreateMessageParams{}
				params.SetFrom(from)
				params.SetTo(to)
				params.SetBody(fmt.Sprintf("pacer quickstart, message %d of %d", i+1, *n))
				_, err := rest.Api.CreateMessage(params)
				p.count(err)
			}
		})
	}
	for i := range *n {
		jobs <- i
	}
	close(jobs)
	wg.Wait()
}

func printTable(results ...result) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "client\tdelivered\tlost\tdoubled\tthrottled answers\tseconds\tshare of the limit\t")
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%.1f\t%s\t\n",
			r.name, r.delivered, r.lost, r.doubled, r.throttled, r.took.Seconds(), r.share())
	}
	w.Flush()
	fmt.Println("Share of the limit: (delivered - 1) / (rate x seconds), at most 100 %; - for less than a second.")
}

// share is how much of the limit was used. A paced client sends one message at once
// and then one every 1/rate seconds, hence the 1. A burst that is over within the
// limiter's first second has no meaningful share.
func (r result) share() string {
	if r.took < time.Second {
		return "-"
	}
	share := float64(r.delivered-1) / (float64(*rate) * r.took.Seconds())
	return fmt.Sprintf("%.1f %%", 100*min(share, 1))
}

// sendReal sends a few messages to Twilio itself, through pacer only.
func sendReal() error {
	for _, name := range []string{"TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_FROM", "TWILIO_TO"} {
		if os.Getenv(name) == "" {
			return fmt.Errorf("-real needs the environment variable %s; without -real no account is needed", name)
		}
	}
	set := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { set[f.Name] = true })
	if !set["n"] {
		*n = 3
	}
	if !set["rate"] {
		*rate = 1
	}
	fmt.Printf("Sending %d real messages to TWILIO_TO through pacer, at %d a second.\n\n", *n, *rate)

	tw, err := pacer.New(pacer.ClientParams{}, // credentials come from the environment
		pacer.WithLimits(pacer.Limits{{Resource: pacer.Messages, Rate: float64(*rate)}}))
	if err != nil {
		return err
	}
	p := startProgress("pacer", func() int { return 0 })
	sendAll(tw.RestClient, os.Getenv("TWILIO_FROM"), os.Getenv("TWILIO_TO"), p)
	p.stop()
	fmt.Printf("\n%d accepted by Twilio, %d not, in %.1f s.\n", p.delivered.Load(), p.lost.Load(), p.took.Seconds())
	return p.firstError()
}

// progress shows how far a burst is. On a terminal it is a bar that is drawn again and
// again, in a pipe a line a second.
type progress struct {
	name            string
	throttled       func() int
	delivered, lost atomic.Int64
	err             atomic.Pointer[error]
	start           time.Time
	took            time.Duration
	done            chan struct{}
	drawn           sync.WaitGroup
}

func startProgress(name string, throttled func() int) *progress {
	p := &progress{name: name, throttled: throttled, start: time.Now(), done: make(chan struct{})}
	every := time.Second
	if isTerminal() {
		every = 100 * time.Millisecond
	}
	p.drawn.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				p.draw(time.Since(p.start))
			case <-p.done:
				return
			}
		}
	})
	return p
}

func (p *progress) count(err error) {
	if err == nil {
		p.delivered.Add(1)
		return
	}
	p.lost.Add(1)
	p.err.CompareAndSwap(nil, &err)
}

func (p *progress) firstError() error {
	if err := p.err.Load(); err != nil {
		return *err
	}
	return nil
}

func (p *progress) stop() {
	p.took = time.Since(p.start)
	close(p.done)
	p.drawn.Wait()
	p.draw(p.took)
	if isTerminal() {
		fmt.Println()
	}
}

func (p *progress) draw(elapsed time.Duration) {
	delivered := int(p.delivered.Load())
	line := fmt.Sprintf("%4d delivered  %4d lost  %4d throttled  %5.1f s", delivered, p.lost.Load(), p.throttled(), elapsed.Seconds())
	if !isTerminal() {
		fmt.Printf("%-9s  %s\n", p.name, line)
		return
	}
	const width = 16 // the whole line fits 80 columns
	full := width * delivered / *n
	fmt.Printf("\r%-9s [%s%s] %s", p.name, strings.Repeat("#", full), strings.Repeat(".", width-full), line)
}

func isTerminal() bool {
	info, err := os.Stdout.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
